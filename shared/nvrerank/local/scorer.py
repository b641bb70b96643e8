"""LocalScorer: a cross-encoder on this machine, behind the one seam."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import torch

from nvrerank.errors import InvalidArgumentError, RequestRejectedError
from nvrerank.fingerprint import fingerprint_of_model
from nvrerank.models import is_listwise
from nvrerank.per_process import PerProcess, gate, is_forked
from nvrerank.scorer import Scored, Scorer, naming_job, no_place, scoring_errors
from nvrerank.texts import clean_query
from nvrerank.truncation import Notices
from nvrerank.windows import Cutting, LongPassages, Truncate, WindowPlan

from .checkpoint import Checkpoint, Config
from .families import load_model
from .layers import LoadedModel
from .listwise import ARCHITECTURE
from .runner import BatchRunner, use_one_thread, workers
from .saved import Saved
from .settings import BUNDLED, LocalSettings, Quantize, find_source, tokens_that_fit
from .tokenization import LocalTokenCounter, TokenPair

_log = logging.getLogger("nvrerank")
_HIDDEN_SIZES = ("hidden_size", "dim", "d_model", "emb_dim", "n_embd")  # as architectures call it
_USUAL_SIZE = 1024
_CALLS_AT_ONCE = 4  # asynchronous calls that share the model; the rest wait without holding a thread
_NEVER = threading.Event().is_set


@dataclass(frozen=True, slots=True)
class _Part:
    """What one query asks of the model.

    Attributes:
        pairs: What is scored.
        windows: Whose windows they are; None: each pair is a passage.
        query_cut: Whether they hold the query's beginning alone.
    """

    pairs: list[TokenPair]
    windows: WindowPlan | None = None
    query_cut: bool = False


class LocalScorer(Scorer):
    """Scores with a reranker on this machine: NVIDIA's open weights, or any that sentence-transformers loads.

    A folder's own settings decide (casing, lengths, prompts, chat templates, modules), its code is never run;
    what can't be computed as it was saved is refused. Scores are the logits before a saved Sigmoid.
    The model is loaded at the first use, or by `load`. One scorer serves any number of threads and
    event loops; copies share its weights, a pickle holds none. A forked process may go on with it, on a CPU,
    with one torch thread for each of its workers.

    Args:
        model: A folder with config.json, tokenizer.json and safetensors weights, or a name on the
            Hugging Face hub; None: the small multilingual model that ships with the package.
        revision: Branch, tag or commit on the hub.
        device: Such as "cpu", "cuda", "cuda:1"; None: CUDA if there is one.
        dtype: "float32", "bfloat16" or "float16", or torch's own; None: what the device multiplies fastest at
            next to no loss, bfloat16 on CUDA and on CPUs with instructions for it (AVX512-BF16, AMX),
            float32 elsewhere. "float32" gives the same scores on every machine, up to rounding.
        max_length: Tokens of query and passage together; None: the model's context.
        long_passages: What becomes of a passage that is too long. "truncate" cuts its end off, "windows"
            scores it in parts as `nvrerank.Windowed` does, "error" refuses it. None: as `truncate` says; if
            that says nothing, "truncate" with one `nvrerank.TruncationWarning`. A passage keeps a quarter of
            `max_length`: a query that leaves it less is cut to its beginning, with one such warning, or
            refused by "error" if the pair does not fit.
        truncate: The same in the official classes' words: "END" is "truncate", "NONE" is "error".
        batch_tokens: Tokens computed at once; None: 512 on each core of a CPU (2,048 in bfloat16, 256 in
            int8), 16,384 elsewhere. On a GPU with little free memory it is less; when memory runs out it is
            halved and stays so.
        quantize: "int8" multiplies in 8-bit integers, at a small loss: faster than float32 on a CPU that has
            instructions for it (AVX-512 VNNI); on any other a warning says that it is left out. None: as
            `dtype` says.
        label: Which of a classifier's labels means relevant, by number or name; None: the only one, or of two
            without names of their own the second. Its score is its log-odds among all.
        instruction: What the model is told of its task, such as "Find the clause that forbids it", where its
            prompt has a place for it; None: its prompt's own words. See `with_instruction`.
        progress: Whether bars show the loading and the passages done.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range, or the device is not on this machine.
        ModelLoadError: The folder does not exist.
        InvalidArgumentError: The bundled model is told an instruction; of another one `load` says so.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        max_length: int | None = None,
        long_passages: LongPassages | None = None,
        truncate: Truncate | None = None,
        batch_tokens: int | None = None,
        quantize: Quantize | None = None,
        label: int | str | None = None,
        instruction: str | None = None,
        progress: bool = False,
    ) -> None:
        options: dict[str, Any] = {
            "device": device,
            "dtype": dtype,
            "max_length": max_length,
            "long_passages": long_passages,
            "truncate": truncate,
            "batch_tokens": batch_tokens,
            "quantize": quantize,
            "label": label,
            "instruction": instruction,
        }
        self._source = find_source(model, revision)
        if instruction is not None and self._source.folder == BUNDLED:
            raise no_place(self.name)
        self._settings = LocalSettings.checked(**options)
        self._rebuild = partial(type(self), model, revision=revision, progress=progress, **options)
        self._progress = progress
        self._runner = BatchRunner(
            self._settings.batch_tokens,
            progress=progress,
            workers=workers if self._settings.device.type == "cpu" else None,
        )
        self._notices = Notices(passages=long_passages is None and truncate is None)
        self._model: LoadedModel | None = None
        self._weights: LocalScorer | None = None  # another instruction's, whose model this one's is
        self._loading = PerProcess(threading.Lock)
        self._tokenizing = PerProcess(threading.Lock)
        self._threads = PerProcess(partial(ThreadPoolExecutor, _CALLS_AT_ONCE, "nvrerank"))

    @property
    def name(self) -> str:
        """The hub name or folder; "nvrerank-bundled" for the model that ships with the package."""
        return self._source.name

    @property
    def calibrated(self) -> bool:
        """Whether the sigmoid of a score is of use: not of cosines."""
        return not self.listwise

    @property
    def listwise(self) -> bool:
        """Whether it is a jina-reranker-v3: as config.json in its folder says; on the hub, its name."""
        if self._source.folder is None:
            return is_listwise(self.name)
        file = self._source.folder / "config.json"
        return file.is_file() and Config.read(file).values.get("architectures") == [ARCHITECTURE]

    @property
    def instruction(self) -> str | None:
        """What was given, here or to `with_instruction`."""
        return self._settings.instruction

    @property
    def identity(self) -> Mapping[str, object]:
        """The files by their content, what they are read as, and the code that reads them."""
        settings = self._settings
        return {
            "class": f"{type(self).__module__}.{type(self).__qualname__}",
            "nvrerank": import_module("nvrerank").__version__,  # the code that reads them
            "name": self.name,
            "files": lambda: fingerprint_of_model(self._source.fetch()),
            "dtype": str(settings.dtype),
            "quantize": settings.quantize,
            "max_length": settings.max_length,
            "long_passages": settings.long_passages,
            "label": settings.label,
            "instruction": settings.instruction,
        }

    @property
    def folder(self) -> Path | None:
        """The folder that the model is read from; None: it is on the hub."""
        return self._source.folder

    @property
    def tokens_read(self) -> int:
        """How many tokens it has read so far, of queries and passages."""
        return self._runner.tokens

    @property
    def max_length(self) -> int:
        """Tokens of query and passage together that are read; asking loads the model."""
        return self._loaded().context

    def load(self) -> Self:
        """Loads the model now instead of at the first use.

        Returns:
            This scorer.

        Raises:
            ModelLoadError: The checkpoint can't be used; the message names file and tensor.
            InvalidArgumentError: max_length is more than the model's context.
        """
        self._loaded()
        return self

    def token_counter(self, query: str) -> LocalTokenCounter:
        """What counts passages beside this query as the model reads them; asking loads the model."""
        model = self._loaded()
        return LocalTokenCounter(model.encoder, clean_query(query), model.context, self._tokenizing.get())

    def _score(self, query: str, passages: Sequence[str]) -> list[Scored]:
        parts = [self._part(query, passages)]
        return self._scored(parts, self._logits(parts))[0]

    async def _ascore(self, query: str, passages: Sequence[str]) -> list[Scored]:
        """As `_score`, in a thread; a cancelled call stops after the batch under way."""
        stop = threading.Event()

        @scoring_errors(self)
        def work() -> tuple[list[_Part], list[float]]:
            parts = [self._part(query, passages, stop.is_set)]
            return parts, self._logits(parts, stop.is_set)

        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._threads.get(), work)
        finally:
            stop.set()
        return self._scored(*answer)[0]

    def _score_many(self, calls: Sequence[tuple[str, Sequence[str]]]) -> list[list[Scored]]:
        """All queries in the same batches.

        What is held beside the texts is four bytes a token; what is computed at once stays within
        `batch_tokens`, however many pairs there are.
        """
        parts = []
        for number, call in enumerate(calls):
            with naming_job(number, len(calls)):
                parts.append(self._part(*call))
        return self._scored(parts, self._logits(parts))

    def _part(self, query: str, texts: Sequence[str], stopped: Callable[[], bool] = _NEVER) -> _Part:
        """A call's token ids, with the plan of its windows where long passages are to have some."""
        if not texts:
            return _Part([])
        model, how = self._loaded(), self._settings.long_passages
        counter = LocalTokenCounter(
            *(model.encoder, query, model.context, self._tokenizing.get()),
            stopped=stopped,
            whole=how == "error",
            keep=how == "windows",
        )
        plan = Cutting().plan(counter, texts) if how == "windows" else None
        pairs = counter.pairs(texts if plan is None else plan.texts)
        if how == "error":
            _refuse_long(pairs, model.context)
        return _Part(pairs, plan, counter.query is not None)

    def _logits(self, parts: Sequence[_Part], stopped: Callable[[], bool] = _NEVER) -> list[float]:
        """A logit for each pair of all parts; an error about one of them names the passage of its part."""
        pairs = [pair for part in parts for pair in part.pairs]
        model = self._loaded()
        if model.listwise:
            with torch.inference_mode():
                lists = [model.forward(part.pairs) for part in parts if part.pairs]
                return torch.cat(lists).tolist() if lists else []
        try:
            return self._runner.run(model.forward, pairs, stopped)
        except RequestRejectedError as error:
            if error.index is None:
                raise
            number = 0
            while error.index >= len(parts[number].pairs):
                error.index -= len(parts[number].pairs)
                number += 1
            windows = parts[number].windows
            with naming_job(number, len(parts)), windows.naming_passages() if windows else nullcontext():
                raise

    def _scored(self, parts: Sequence[_Part], logits: Sequence[float]) -> list[list[Scored]]:
        """The passages' scores; warns of cuts, in the caller's thread so that a line of theirs is named."""
        limit, rest = self._loaded().context, iter(logits)
        excess = [pair.whole - limit for part in parts for pair in part.pairs if pair.whole > limit]
        if excess:
            self._notices.passages(excess, len(logits), limit)
        if any(part.query_cut for part in parts):
            self._notices.query()
        answers = []
        for part in parts:
            scored = [
                Scored(next(rest), pair.whole > limit, query_truncated=part.query_cut) for pair in part.pairs
            ]
            answers.append(part.windows.pooled(scored) if part.windows else scored)
        return answers

    def _loaded(self) -> LoadedModel:
        if self._model is None:
            with self._loading.get():
                if self._model is None:
                    self._model = self._load()
        return self._model

    def _instructed(self, instruction: str) -> Self:
        """A copy with the same weights, workers, locks and notices."""
        if self._source.folder == BUNDLED:
            raise no_place(self.name)
        twin = object.__new__(type(self))
        twin.__dict__ = {**vars(self), "_weights": self._weights or self, "_model": None}
        twin._settings = replace(self._settings, instruction=instruction)
        twin._rebuild = partial(self._rebuild, instruction=instruction)
        twin._loading = PerProcess(threading.Lock)
        return twin

    def _load(self) -> LoadedModel:
        told = self._settings.instruction
        model = self._load_weights() if self._weights is None else self._weights._loaded()  # noqa: SLF001
        encoder = model.encoder if told is None else model.encoder.instructed(told)
        if encoder is None:
            raise no_place(self.name)
        return replace(model, encoder=encoder)

    def _load_weights(self) -> LoadedModel:
        if is_forked():
            use_one_thread()
        saved = Saved.read(self._source.fetch())
        checkpoint = Checkpoint.open(saved.backbone)
        with gate:
            model = load_model(checkpoint, saved, self._settings, name=self.name, progress=self._progress)
        settings = self._settings
        _log.info("%s: on %s in %s", self.name, settings.device, settings.quantize or settings.dtype)
        if settings.device.type == "cuda":
            self._fit_batches(checkpoint.config)
        wanted = settings.max_length
        if wanted is not None and wanted > model.context:
            raise InvalidArgumentError(
                f"max_length {wanted} is more than the {model.context} tokens {self.name} reads"
            )
        return model if wanted is None else replace(model, context=wanted)

    def _fit_batches(self, config: Config) -> None:
        config = config.section("llm_config") or config
        sizes = [config.size(name) for name in _HIDDEN_SIZES if name in config.values]
        hidden = max(sizes, default=_USUAL_SIZE)
        free, _ = torch.cuda.mem_get_info(self._settings.device)
        fit = tokens_that_fit(
            free, hidden, config.size("intermediate_size", 4 * hidden), self._settings.dtype
        )
        self._runner.budget = min(self._runner.budget, fit)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[[], LocalScorer], tuple[()]]:
        return self._rebuild, ()

    def __repr__(self) -> str:
        settings = self._settings
        kind = settings.quantize or settings.dtype
        told = f"LocalScorer({self.name!r}, device={str(settings.device)!r}, dtype={kind}"
        if settings.max_length is not None:
            told += f", max_length={settings.max_length}"
        if settings.instruction is not None:
            told += f", instruction={settings.instruction!r}"
        return f"{told}, long_passages={settings.long_passages!r})"


def _refuse_long(pairs: Sequence[TokenPair], limit: int) -> None:
    for index, pair in enumerate(pairs):
        if pair.whole > limit:
            raise RequestRejectedError(
                f"query and passage are {pair.whole} tokens long, the model reads {limit}: "
                "shorten the passage, or let long_passages='windows' read it in parts",
                index=index,
            )
