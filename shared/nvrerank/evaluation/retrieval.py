"""The candidates of each query: by BM25, by an embedding, or from a run file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from nvrerank.errors import MissingExtraError

from .embedding import Embedder
from .errors import DataError
from .runs import Found, read_run
from .specs import RetrieverSpec
from .task import Task

Retrieve = Callable[[Task], dict[str, Found]]
"""Finds for each query of a task its candidates, best first."""

_ENGLISH = (None, "en")
_LARGE = 10_000  # passages; a smaller corpus is done before a bar could be read


def opened(
    spec: RetrieverSpec, tasks: list[Task], *, top_k: int, work: Path, device: str | None, progress: bool
) -> Retrieve:
    """Makes a retriever; run files are read and checked, models looked for.

    Args:
        spec: Which one.
        tasks: What it will be asked.
        top_k: Candidates a query.
        work: Where vectors are kept.
        device: For an embedding model.
        progress: Whether bars show the texts embedded, or how far BM25 is with a large corpus.

    Raises:
        DataError: A run file is broken or names something unknown.
        MissingExtraError: A package is not installed.
    """
    if spec.kind == "run":
        runs = _runs(spec, tasks, top_k)
        return lambda task: runs[task.label]
    if spec.kind == "embedding":
        embedder = Embedder(spec.value, work, device=device, progress=progress)
        return lambda task: by_vectors(task, embedder, top_k)
    bm25s = _bm25s()
    return lambda task: by_words(task, bm25s, top_k, progress=progress)


def by_words(task: Task, bm25s: Any, top_k: int, *, progress: bool = False) -> dict[str, Found]:
    """BM25 in Lucene's variant (k1 1.5, b 0.75), lower case, no stemming, English stop words for English.

    A passage that shares no word with the query is not found, so that there may be fewer than `top_k`.
    """
    stop = "en" if (task.languages[1] if task.languages else None) in _ENGLISH else []
    shown = progress and len(task.passages) >= _LARGE
    tokens = {"stopwords": stop, "show_progress": shown}
    corpus = bm25s.tokenize(list(task.passages.values()), **tokens)
    if not any(corpus.ids):
        return {query: {} for query in task.queries}
    index = bm25s.BM25()
    index.index(corpus, show_progress=shown)
    ids = list(task.passages)
    words = bm25s.tokenize(list(task.queries.values()), return_ids=False, **tokens)
    found = {}
    bar = tqdm(task.queries, unit="query", desc="searching", disable=not shown, leave=False)
    for query, asked in zip(bar, words, strict=True):
        scores = index.get_scores(asked) if asked else np.zeros(len(ids), np.float32)
        found[query] = {
            ids[place]: float(scores[place]) for place in best(scores, top_k) if scores[place] > 0
        }
    return found


def by_vectors(task: Task, embedder: Embedder, top_k: int) -> dict[str, Found]:
    """By the cosine of query and passage."""
    passages = embedder.passages(list(task.passages.values()))  # [passages, size]
    queries = embedder.queries(list(task.queries.values()))  # [queries, size]
    ids = list(task.passages)
    found = {}
    for query, vector in zip(task.queries, queries, strict=True):
        scores = passages @ vector
        found[query] = {ids[place]: float(scores[place]) for place in best(scores, top_k)}
    return found


def best(scores: npt.NDArray[np.float32], count: int) -> list[int]:
    """Places of the highest scores, highest first; equal ones in order, also where the cut goes through them.

    Args:
        scores: [passages]
        count: How many; fewer where there are fewer.
    """
    if count < len(scores):
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        places = np.flatnonzero(scores >= least)
    else:
        places = np.arange(len(scores))
    chosen: list[int] = places[np.argsort(-scores[places], kind="stable")][:count].tolist()
    return chosen


def _runs(spec: RetrieverSpec, tasks: list[Task], top_k: int) -> dict[str, dict[str, Found]]:
    if len(tasks) > 1 and "{set}" not in spec.value:
        raise DataError(
            f"{spec.label} is one file for {len(tasks)} sets: write {{set}} where their names differ, "
            f"such as {tasks[0].label}"
        )
    runs = {}
    for task in tasks:
        whole = read_run(Path(spec.value.replace("{set}", task.label)), task)
        runs[task.label] = {query: dict(list(found.items())[:top_k]) for query, found in whole.items()}
    return runs


def _bm25s() -> Any:
    try:
        import bm25s  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError("BM25 needs bm25s: pip install 'nvrerank[eval]'") from error
    return bm25s
