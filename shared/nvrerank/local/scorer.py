"""LocalScorer: a cross-encoder on this machine, behind the one seam."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self

import torch

from nvrerank.errors import RequestRejectedError
from nvrerank.scorer import Scorer, checked_scores
from nvrerank.texts import clean_call

from .checkpoint import Checkpoint
from .families import LoadedModel, find_family
from .generic import load_generic
from .prompt import TokenPair
from .running import BatchRunner
from .settings import Settings, Truncate
from .source import find_source

_CALLS_AT_ONCE = 4  # asynchronous calls that share the model; the rest wait without holding a thread


class LocalScorer(Scorer):
    """Scores with a cross-encoder on this machine: NVIDIA's open weights, or any with one label.

    The model is loaded at the first use, or by `load`. One scorer serves any number of threads and
    event loops; copies share its weights, a pickle holds none.

    Args:
        model: A folder with config.json, tokenizer.json and safetensors weights, or a name on the
            Hugging Face hub; None: the small English model that ships with the package.
        revision: Branch, tag or commit on the hub.
        device: Such as "cpu", "cuda", "cuda:1"; None: CUDA if there is one.
        dtype: "float32", "bfloat16" or "float16", or torch's own; None: bfloat16 on CUDA, float32
            elsewhere.
        max_length: Tokens of query and passage together; None: the model's context. A longer pair
            is cut from the passage's end.
        truncate: "END" cuts; "NONE" makes a longer pair an error.
        batch_tokens: Tokens computed at once; None: 1,024 on a CPU, 16,384 elsewhere. When memory
            runs out it is halved and stays so.
        progress: Whether a bar shows the passages done.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range, or the device is not on this machine.
        ModelLoadError: The folder does not exist.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        max_length: int | None = None,
        truncate: Truncate = "END",
        batch_tokens: int | None = None,
        progress: bool = False,
    ) -> None:
        self._source = find_source(model, revision)
        self._settings = Settings.checked(
            device=device, dtype=dtype, max_length=max_length, truncate=truncate, batch_tokens=batch_tokens
        )
        self._rebuild = partial(
            type(self),
            model,
            revision=revision,
            device=device,
            dtype=dtype,
            max_length=max_length,
            truncate=truncate,
            batch_tokens=batch_tokens,
            progress=progress,
        )
        self._runner = BatchRunner(self._settings.batch_tokens, progress=progress)
        self._model: LoadedModel | None = None
        self._loading = threading.Lock()
        self._tokenizing = threading.Lock()
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    @property
    def name(self) -> str:
        """The hub name or folder; "nvrerank-embedded" for the model that ships with the package."""
        return self._source.name

    @property
    def max_length(self) -> int:
        """Tokens of query and passage together that are read; asking loads the model."""
        context = self._loaded().context
        wanted = self._settings.max_length
        return context if wanted is None else min(wanted, context)

    def load(self) -> Self:
        """Loads the model now instead of at the first use.

        Returns:
            This scorer.

        Raises:
            ModelLoadError: The checkpoint can't be used; the message names file and tensor.
            ValueError: max_length is more than the model's context.
        """
        self._loaded()
        return self

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        """Scores passages; see `Scorer.score`.

        Raises:
            TypeError: A text is not a string.
            ValueError: The query or a passage is blank.
            ModelLoadError: The checkpoint can't be used.
            RequestRejectedError: A pair is too long (`truncate="NONE"`), or one pair alone does not
                fit into memory; `index` names the passage.
        """
        return self._score(query, passages, stopped=lambda: False)

    async def ascore(self, query: str, passages: Sequence[str]) -> list[float]:
        """As `score`, in a thread; a cancelled call stops after the batch under way."""
        stop = threading.Event()
        work = partial(self._score, query, passages, stopped=stop.is_set)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor(), work)
        finally:
            stop.set()

    def _score(self, query: str, passages: Sequence[str], *, stopped: Callable[[], bool]) -> list[float]:
        query, texts = clean_call(query, passages)
        if not texts:
            return []
        model, limit = self._loaded(), self.max_length
        with self._tokenizing:
            pairs = model.encoder.encode(query, texts, limit)
        if self._settings.truncate == "NONE":
            _refuse_long(pairs, limit)
        scores = self._runner.run(model.forward, pairs, stopped)
        return checked_scores(scores, len(texts), source=self.name)

    def _loaded(self) -> LoadedModel:
        with self._loading:
            if self._model is None:
                self._model = self._load()
            return self._model

    def _load(self) -> LoadedModel:
        checkpoint = Checkpoint.open(self._source.fetch())
        family = find_family(checkpoint.config)
        load = family.load if family else load_generic
        model = load(checkpoint, dtype=self._settings.dtype, device=self._settings.device)
        wanted = self._settings.max_length
        if wanted is not None and wanted > model.context:
            raise ValueError(f"max_length {wanted} is more than the {model.context} tokens {self.name} reads")
        return model

    def _executor(self) -> ThreadPoolExecutor:
        """This process's threads; a forked child has none of its parent's."""
        if self._pool is None or self._pool[0] != os.getpid():
            pool = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="nvrerank")
            self._pool = os.getpid(), pool
        return self._pool[1]

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[[], LocalScorer], tuple[()]]:
        return self._rebuild, ()

    def __repr__(self) -> str:
        settings = self._settings
        return f"LocalScorer({self.name!r}, device={str(settings.device)!r}, dtype={settings.dtype})"


def _refuse_long(pairs: Sequence[TokenPair], limit: int) -> None:
    for index, pair in enumerate(pairs):
        if pair.whole > limit:
            raise RequestRejectedError(
                f"query and passage are {pair.whole} tokens long, the model reads {limit}: "
                "shorten the passage, or let truncate='END' cut it",
                index=index,
            )
