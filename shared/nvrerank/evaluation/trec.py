"""TREC run files: query, Q0, passage, rank, score and tag on each line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nvrerank.data_file import DataFile

from .task import Task

Found = dict[str, float]
"""A query's candidates: passage id to score, best first."""

Candidates = Mapping[str, Mapping[str, Mapping[str, Found]]]
"""By retriever, task and query."""

Orders = Mapping[str, Mapping[str, float | None]]
"""By query its passages, best first, with their scores; None: not scored."""


def read_run(file: DataFile, task: Task) -> dict[str, Found]:
    """Reads what another retriever found for a task; the file gets remarks on what was passed over.

    Returns:
        For each query of the task its passages, by score, then by the file's own rank; a query that the
        file does not have found nothing.

    Raises:
        DataError: A line is broken, two contradict each other, or nothing in it is known.
    """
    rows: dict[str, dict[str, tuple[float, float]]] = {query: {} for query in task.queries}
    known = task.known or task.queries.keys()
    name, seen, absent = file.path.name, False, ""
    for number, query, passage, score, rank in file.run_rows():
        if query not in known or passage not in task.passages:
            where = f"query {query!r}" if query not in known else f"passage {passage!r}"
            absent = f"the {where} is not in {'the corpus of ' if query in known else ''}{task.label}"
            file.odd(number, f"rows of {name} whose query or passage is not there, left out", absent)
            continue
        seen = True
        twice = f"query {query!r} and passage {passage!r} are there twice"
        file.put(number, rows.get(query, {}), passage, (-score, rank), twice=twice, values="scores or ranks")
    if not seen:
        raise file.broken(1, absent or "the run is empty")
    found = {}
    for query, mine in rows.items():
        order = sorted((place, passage) for passage, place in mine.items())
        ranks = [rank for (_, rank), _ in order]
        if ranks != sorted(ranks):
            file.remarks[f"queries that {name} ranks otherwise than by score, read by score"] += 1
        found[query] = {passage: -score for (score, _), passage in order}
    return found


def write_run(path: Path, orders: Orders, tag: str) -> None:
    """Saves orders as a run file that every tool sorts as they are.

    Tools sort by the score in single precision and each breaks ties in its own way; so a score that is
    not below the one before is written as the next number below that.

    Args:
        path: The file; replaced when it is whole.
        orders: For each query its passages, best first, with their scores; None: not scored.
        tag: The run's name; white space becomes "_".
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    name = "_".join(tag.split())
    with part.open("w", encoding="utf-8") as stream:
        for query, order in orders.items():
            falling = _falling(list(order.values()))
            for rank, (passage, score) in enumerate(zip(order, falling, strict=True), start=1):
                stream.write(f"{query} Q0 {passage} {rank} {score!r} {name}\n")
    part.replace(path)


def _falling(scores: list[float | None]) -> list[float]:
    """The scores in single precision, each below the one before."""
    falling: list[np.float32] = []
    with np.errstate(over="ignore"):
        for score in scores:
            most = np.nextafter(falling[-1], np.float32("-inf")) if falling else np.float32("inf")
            falling.append(most if score is None else min(np.float32(score), most))
    if falling and not np.isfinite([falling[0], falling[-1]]).all():  # nothing scored, or beyond float32
        falling = [np.float32(-place) for place in range(len(falling))]
    return [float(one) for one in falling]
