"""The candidates of each query: by BM25, by an embedding, or from a run file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from nvrerank.errors import MissingExtraError

from .beir import DataFile
from .embedding import Embedder
from .task import DataError, Task
from .trec import Candidates, Found, read_run

Retrieve = Callable[[Task], dict[str, Found]]
"""Finds for each query of a task its candidates, best first."""

DROPPED = "queries whose own passage, by its id, is dropped from the candidates, as in BEIR"
KEPT = "queries whose own passage, by its id, is kept, for it is judged relevant"

_ENGLISH = (None, "en")
_LARGE = 10_000  # passages; a smaller corpus is done before a bar could be read


class RetrieverSpec(NamedTuple):
    """Where candidates come from, as it was called; the value is the model's name or the run file."""

    label: str
    kind: Literal["bm25", "embedding", "run"]
    value: str = ""


def retriever_spec(text: str) -> RetrieverSpec:
    """Reads `bm25`, `embedding:NAME` or `run:FILE`.

    Raises:
        ValueError: It is none of these.
    """
    kind, _, value = text.partition(":")
    if text == "bm25":
        return RetrieverSpec(text, "bm25")
    if kind in ("embedding", "run") and value.strip():
        return RetrieverSpec(text, "run" if kind == "run" else "embedding", value)
    raise ValueError(f"{text!r}: a retriever is bm25, embedding:NAME or run:FILE")


def candidates(
    specs: Sequence[RetrieverSpec],
    tasks: Sequence[Task],
    *,
    top_k: int,
    work: Path,
    device: str | None = None,
    ignore_identical_ids: bool = True,
    strict: bool = False,
    progress: bool = False,
) -> tuple[Candidates, dict[str, Counter[str]]]:
    """What each retriever finds; all are opened, and run files read and checked, before the first searches.

    Args:
        specs: The retrievers.
        tasks: What they are asked.
        top_k: Candidates a query.
        work: Where vectors are kept.
        device: For an embedding model.
        ignore_identical_ids: Whether queries that are passages themselves are dropped.
        strict: Whether run files that name something unknown are refused.
        progress: Whether bars show the texts embedded, or how far BM25 is with a large corpus.

    Returns:
        The candidates, and for each task what is to be known of them, and how often.

    Raises:
        DataError: A run file is broken, or all that it names is unknown.
        MissingExtraError: A package is not installed.
    """
    remarks = {task.label: Counter(task.remarks) for task in tasks}
    depth = top_k + ignore_identical_ids  # one is dropped
    searches: dict[str, Retrieve] = {}
    for spec in specs:
        if spec.kind == "run":
            searches[spec.label] = _runs(spec, tasks, strict=strict, remarks=remarks)
        elif spec.kind == "embedding":
            embedder = Embedder(spec.value, work, device=device, progress=progress)
            searches[spec.label] = partial(by_vectors, embedder=embedder, top_k=depth)
        else:
            _bm25s()
            searches[spec.label] = partial(by_words, top_k=depth, progress=progress)
    found: dict[str, dict[str, dict[str, Found]]] = {}
    for label, search in searches.items():
        for task in tasks:
            rows = _cut(search(task), depth)
            if ignore_identical_ids:
                rows, done = without_identical(task, rows)
                remarks[task.label] |= done  # of the retriever that found most
            found.setdefault(label, {})[task.label] = _cut(rows, top_k)
    return found, remarks


def _cut(rows: Mapping[str, Found], count: int) -> dict[str, Found]:
    return {query: dict(islice(order.items(), count)) for query, order in rows.items()}


def by_words(task: Task, top_k: int, *, progress: bool = False) -> dict[str, Found]:
    """By BM25, with English stop words where the passages are English.

    A passage that shares no word with the query is not found, so that there may be fewer than `top_k`.
    """
    language = task.languages[1] if task.languages else None
    passages, queries = list(task.passages.values()), list(task.queries.values())
    rows = bm25(passages, queries, top_k, english=language in _ENGLISH, progress=progress)
    return _named(task, rows)


def by_vectors(task: Task, embedder: Embedder, top_k: int) -> dict[str, Found]:
    """By the cosine of query and passage."""
    passages = embedder.passages(list(task.passages.values()))  # [passages, size]
    queries = embedder.queries(list(task.queries.values()))  # [queries, size]
    return _named(task, (_first(passages @ query, top_k) for query in queries))


def bm25(
    passages: Sequence[str],
    queries: Sequence[str],
    top_k: int,
    *,
    english: bool = True,
    progress: bool = False,
) -> Iterator[dict[int, float]]:
    """BM25 in Lucene's variant (k1 1.5, b 0.75), lower case, no stemming.

    Args:
        passages: What is searched.
        queries: What is asked.
        top_k: Passages a query.
        english: Whether English stop words are left out.
        progress: Whether a bar shows how far it is with a large corpus.

    Yields:
        For each query the places of the passages that share a word with it, best first, and their scores.

    Raises:
        MissingExtraError: bm25s is not installed.
    """
    bm25s = _bm25s()
    shown = progress and len(passages) >= _LARGE
    tokens = {"stopwords": "en" if english else [], "show_progress": shown}
    corpus = bm25s.tokenize(list(passages), **tokens)
    if not any(corpus.ids):
        yield from ({} for _ in queries)
        return
    index = bm25s.BM25()
    index.index(corpus, show_progress=shown)
    words = bm25s.tokenize(list(queries), return_ids=False, **tokens)
    for asked in tqdm(words, unit="query", desc="searching", disable=not shown, leave=False):
        scores = index.get_scores(asked) if asked else np.zeros(len(passages), np.float32)
        yield {place: score for place, score in _first(scores, top_k).items() if score > 0}


def _named(task: Task, rows: Iterable[Mapping[int, float]]) -> dict[str, Found]:
    ids = list(task.passages)
    return {
        query: {ids[place]: score for place, score in row.items()}
        for query, row in zip(task.queries, rows, strict=True)
    }


def _first(scores: npt.NDArray[np.float32], count: int) -> dict[int, float]:
    return {place: float(scores[place]) for place in best(scores, count)}


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


def without_identical(task: Task, found: Mapping[str, Found]) -> tuple[dict[str, Found], Counter[str]]:
    """Drops from each query's candidates the passage with the query's own id, as BEIR's evaluation does.

    In ArguAna and Quora the query is itself a passage of the corpus; it would be found first, and is not
    what is looked for. One that is judged relevant is: ids are equal by chance, or number translations.

    Returns:
        The other candidates, and what was done how often.
    """
    rest, done = {query: dict(order) for query, order in found.items()}, Counter[str]()
    for query in found:
        if query in rest[query] and task.relevant[query].get(query, 0) > 0:
            done[KEPT] += 1
        elif rest[query].pop(query, None) is not None:
            done[DROPPED] += 1
    return rest, done


def _runs(
    spec: RetrieverSpec, tasks: Sequence[Task], *, strict: bool, remarks: Mapping[str, Counter[str]]
) -> Retrieve:
    if len(tasks) > 1 and "{set}" not in spec.value:
        raise DataError(
            f"{spec.label} is one file for {len(tasks)} sets: write {{set}} where their names differ, "
            f"such as {tasks[0].label}"
        )
    runs = {}
    for task in tasks:
        file = DataFile(Path(spec.value.replace("{set}", task.label)), strict)
        runs[task.label] = read_run(file, task)
        remarks[task.label].update(file.remarks)
    return lambda task: runs[task.label]


def _bm25s() -> Any:
    try:
        import bm25s  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError("BM25 needs bm25s: pip install 'nvrerank[eval]'") from error
    return bm25s
