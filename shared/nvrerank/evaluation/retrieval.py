"""The candidates of each query: by BM25, by an embedding, or from a run file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from nvrerank.data_file import DataError, DataFile
from nvrerank.errors import MissingExtraError

from .embedding import Embedder
from .task import Task
from .trec import Candidates, Found, read_run

Retrieve = Callable[[Task], dict[str, Found]]
"""Finds for each query of a task its candidates, best first."""

DROPPED = "queries whose own passage, by its id, is dropped from the candidates, as in BEIR"
KEPT = "queries whose own passage, by its id, is kept, for it is judged relevant"

_LARGE = 10_000  # passages; a smaller corpus is done before a bar could be read


def retriever_spec(text: str) -> tuple[str, str]:
    """Kind and value of `bm25`, `embedding:NAME` or `run:FILE`.

    Raises:
        ValueError: It is none of these.
    """
    kind, _, value = text.partition(":")
    if text != "bm25" and not (kind in ("embedding", "run") and value.strip()):
        raise ValueError(f"{text!r}: a retriever is bm25, embedding:NAME or run:FILE")
    return kind, value


def candidates(
    retrievers: Sequence[str],
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

    The options are those of `evaluate`; vectors are kept in `work`. Beside the candidates it gives for each
    task what is to be known of them, and how often.

    Raises:
        ValueError: A retriever is unknown.
        DataError: A run file is broken, or all that it names is unknown.
        MissingExtraError: A package is not installed.
    """
    remarks = {task.label: Counter(task.remarks) for task in tasks}
    depth = top_k + ignore_identical_ids  # one is dropped
    searches: dict[str, Retrieve] = {}
    for label in retrievers:
        kind, value = retriever_spec(label)
        if kind == "run":
            searches[label] = _runs(value, tasks, strict=strict, remarks=remarks)
        elif kind == "embedding":
            embedder = Embedder(value, work, device=device, progress=progress)
            searches[label] = partial(by_vectors, embedder=embedder, top_k=depth)
        else:
            _bm25s()
            searches[label] = partial(by_words, top_k=depth, progress=progress)
    found: dict[str, dict[str, dict[str, Found]]] = {label: {} for label in searches}
    for label, search in searches.items():
        for task in tasks:
            rows = _cut(search(task), depth)
            if ignore_identical_ids:
                remarks[task.label] |= _drop_identical(task, rows)  # of the retriever that found most
            found[label][task.label] = _cut(rows, top_k)
    return found, remarks


def _cut(rows: Mapping[str, Found], count: int) -> dict[str, Found]:
    return {query: dict(islice(order.items(), count)) for query, order in rows.items()}


def by_words(task: Task, top_k: int, *, progress: bool = False) -> dict[str, Found]:
    """By BM25, with English stop words where the passages are English.

    A passage that shares no word with the query is not found, so that there may be fewer than `top_k`.
    """
    english = task.languages is None or task.languages[1] == "en"
    passages, queries = list(task.passages.values()), list(task.queries.values())
    return _by_id(task, bm25(passages, queries, top_k, english=english, progress=progress))


def by_vectors(task: Task, embedder: Embedder, top_k: int) -> dict[str, Found]:
    """By the cosine of query and passage."""
    passages = embedder.passages(list(task.passages.values()))  # [passages, size]
    queries = embedder.queries(list(task.queries.values()))  # [queries, size]
    return _by_id(task, (_first(passages @ query, top_k) for query in queries))


def bm25(
    passages: Sequence[str],
    queries: Sequence[str],
    top_k: int,
    *,
    english: bool = True,
    progress: bool = False,
) -> Iterator[dict[int, float]]:
    """BM25 in Lucene's variant (k1 1.5, b 0.75), lower case, no stemming; in English without stop words.

    Yields:
        For each query the places of the `top_k` best passages that share a word with it, and their scores.

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


def _by_id(task: Task, rows: Iterable[Mapping[int, float]]) -> dict[str, Found]:
    ids = list(task.passages)
    return {
        query: {ids[place]: score for place, score in row.items()}
        for query, row in zip(task.queries, rows, strict=True)
    }


def _first(scores: npt.NDArray[np.float32], count: int) -> dict[int, float]:
    return {place: float(scores[place]) for place in best(scores, count)}


def best(scores: npt.NDArray[np.float32], count: int) -> list[int]:
    """Places of the highest scores, highest first; equal ones in order, also where the cut is among them."""
    places = np.arange(len(scores))
    if count < len(scores):
        places = np.flatnonzero(scores >= np.partition(scores, -count)[-count])
    chosen: list[int] = places[np.argsort(-scores[places], kind="stable")][:count].tolist()
    return chosen


def _drop_identical(task: Task, found: dict[str, Found]) -> Counter[str]:
    """Drops from each query's candidates the passage with the query's own id, as BEIR's evaluation does.

    In ArguAna and Quora the query is itself a passage of the corpus; it would be found first, and is not
    what is looked for. One that is judged relevant is: ids are equal by chance, or number translations.
    """
    done = Counter[str]()
    for query, order in found.items():
        if query in order and task.relevant[query].get(query, 0) > 0:
            done[KEPT] += 1
        elif order.pop(query, None) is not None:
            done[DROPPED] += 1
    return done


def _runs(name: str, tasks: Sequence[Task], *, strict: bool, remarks: Mapping[str, Counter[str]]) -> Retrieve:
    if len(tasks) > 1 and "{set}" not in name:
        raise DataError(
            f"run:{name} is one file for {len(tasks)} sets: write {{set}} where their names differ, "
            f"such as {tasks[0].label}"
        )
    runs = {}
    for task in tasks:
        file = DataFile(Path(name.replace("{set}", task.label)), strict)
        runs[task.label] = read_run(file, task)
        remarks[task.label].update(file.remarks)
    return lambda task: runs[task.label]


def _bm25s() -> Any:
    try:
        import bm25s  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError("BM25 needs bm25s: pip install 'nvrerank[eval]'") from error
    return bm25s
