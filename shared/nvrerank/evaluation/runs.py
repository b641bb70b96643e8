"""TREC run files: query, Q0, passage, rank, score and tag on each line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .errors import broken
from .lines import numbered
from .task import Task

Found = dict[str, float]
"""A query's candidates: passage id to score, best first."""

Candidates = Mapping[str, Mapping[str, Mapping[str, Found]]]
"""By retriever, task and query."""

Order = Mapping[str, float | None]
"""A query's passages, best first, with their scores; None: not scored."""


def read_run(path: Path, task: Task) -> dict[str, Found]:
    """Reads what another retriever found.

    Args:
        path: The run file.
        task: What it belongs to; queries that are not asked are left out.

    Returns:
        For each query of the task its passages, by score, then by the file's own rank; a query that the
        file does not have found nothing.

    Raises:
        DataError: A line is broken, an id is unknown or a pair there twice.
    """
    rows: dict[str, list[tuple[float, int, str]]] = {query: [] for query in task.queries}
    seen: set[tuple[str, str]] = set()
    known = task.known or task.queries.keys()
    for number, line in numbered(path):
        query, passage, rank, score = _columns(path, number, line)
        if query not in known:
            raise broken(path, number, f"the query {query!r} is not in {task.label}")
        if passage not in task.passages:
            raise broken(path, number, f"the passage {passage!r} is not in the corpus of {task.label}")
        if (query, passage) in seen:
            raise broken(path, number, f"query {query!r} and passage {passage!r} are there twice")
        seen.add((query, passage))
        if query in rows:
            rows[query].append((-score, rank, passage))
    if not seen:
        raise broken(path, 1, "the run is empty")
    return {query: {passage: -score for score, _, passage in sorted(found)} for query, found in rows.items()}


def write_run(path: Path, orders: Mapping[str, Order], tag: str) -> None:
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


def _columns(path: Path, number: int, line: str) -> tuple[str, str, int, float]:
    columns = line.split()
    if len(columns) != 6:  # noqa: PLR2004
        raise broken(path, number, "a line of a run has six columns: query, Q0, passage, rank, score, tag")
    query, _, passage, rank, score, _ = columns
    try:
        value, place = float(score), int(rank)
    except ValueError as error:
        raise broken(path, number, f"rank {rank!r} or score {score!r} is not a number") from error
    if not math.isfinite(value):
        raise broken(path, number, f"the score {score!r} is not a finite number")
    return query, passage, place, value


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
