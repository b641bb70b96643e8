"""The candidates of each query: by BM25, by an embedding, or from a run file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice
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

DROPPED = "queries whose own passage, by its id, is dropped from the candidates, as in BEIR"
KEPT = "queries whose own passage, by its id, is kept, for it is judged relevant"

_ENGLISH = (None, "en")
_LARGE = 10_000  # passages; a smaller corpus is done before a bar could be read


def opened(
    spec: RetrieverSpec,
    tasks: list[Task],
    *,
    top_k: int,
    work: Path,
    device: str | None,
    progress: bool,
    strict: bool = False,
    remarks: Mapping[str, Counter[str]],
) -> Retrieve:
    """Makes a retriever; run files are read and checked, models looked for.

    Args:
        spec: Which one.
        tasks: What it will be asked.
        top_k: Candidates a query.
        work: Where vectors are kept.
        device: For an embedding model.
        progress: Whether bars show the texts embedded, or how far BM25 is with a large corpus.
        strict: Refuse run files that name something unknown.
        remarks: For each task, gets what was passed over in its run file.

    Raises:
        DataError: A run file is broken, or all that it names is unknown.
        MissingExtraError: A package is not installed.
    """
    if spec.kind == "run":
        runs = _runs(spec, tasks, top_k, strict=strict, remarks=remarks)
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


def without_identical(
    task: Task, found: Mapping[str, Found], top_k: int
) -> tuple[dict[str, Found], Counter[str]]:
    """Drops from each query's candidates the passage with the query's own id, as BEIR's evaluation does.

    In ArguAna and Quora the query is itself a passage of the corpus; it would be found first, and is not
    what is looked for. One that is judged relevant is: ids that are equal by chance, or by pairs.

    Args:
        task: Whose queries.
        found: One candidate more than is wanted, where there are so many.
        top_k: Candidates a query.

    Returns:
        At most so many candidates a query, and what was done how often.
    """
    rest, done = {}, Counter[str]()
    for query, order in found.items():
        if own := query in order:
            own = task.relevant[query].get(query, 0) <= 0
            done[DROPPED if own else KEPT] += 1
        chosen = (one for one in order.items() if not own or one[0] != query)
        rest[query] = dict(islice(chosen, top_k))
    return rest, done


def _runs(
    spec: RetrieverSpec, tasks: list[Task], top_k: int, *, strict: bool, remarks: Mapping[str, Counter[str]]
) -> dict[str, dict[str, Found]]:
    if len(tasks) > 1 and "{set}" not in spec.value:
        raise DataError(
            f"{spec.label} is one file for {len(tasks)} sets: write {{set}} where their names differ, "
            f"such as {tasks[0].label}"
        )
    runs = {}
    for task in tasks:
        whole, odd = read_run(Path(spec.value.replace("{set}", task.label)), task, strict=strict)
        remarks[task.label].update(odd)
        runs[task.label] = {query: dict(islice(found.items(), top_k)) for query, found in whole.items()}
    return runs


def _bm25s() -> Any:
    try:
        import bm25s  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError("BM25 needs bm25s: pip install 'nvrerank[eval]'") from error
    return bm25s
