"""Scores queries on Ray: each answer is kept as it comes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from nvrerank.errors import NVRerankError
from nvrerank.scorer import Scorer

from .score_cache import ScoreCache
from .scoring import QUERIES_AT_ONCE, SET_UP, FailedQuery, QueryJob

if TYPE_CHECKING:
    from nvrerank.bulk.ray_engine import RayActors


def score_all_on_ray(
    jobs: Sequence[QueryJob],
    make: Callable[[], Scorer],
    cache: ScoreCache,
    done: Callable[[int], object],
    actors: RayActors,
) -> list[FailedQuery]:
    """Scores jobs and keeps the scores; `done` is told how many pairs each step was.

    Args:
        jobs: What to score.
        make: Makes the scorer, in each actor once.
        cache: Where scores are kept.
        done: Called after each few queries.
        actors: How many, and with what.

    Returns:
        What failed; where the scorer failed wholesale the rest is told once.

    Raises:
        MissingExtraError: Ray is not installed.
        NVRerankError: The scorer has to be set up first, or its model is gone.
    """
    from nvrerank.bulk.ray_engine import answers_of, packets_of

    chunks = [jobs[at : at + QUERIES_AT_ONCE] for at in range(0, len(jobs), QUERIES_AT_ONCE)]
    if not chunks:
        return []
    failures: list[FailedQuery] = []
    size, left = max(sum(len(job.texts) for job in chunk) for chunk in chunks), len(jobs)
    packets = packets_of([[(job.query, list(job.texts.values())) for job in chunk] for chunk in chunks])
    try:
        for _, number, answer in answers_of(packets, make, listed=True, size=size, actors=actors):
            rows = list(zip(chunks[number], answer.scores, answer.errors, strict=True))
            cache.add((job.id, _known(job, scores)) for job, scores, _ in rows)
            failures += [
                FailedQuery(cache.task.label, job.id, _with_ids(error, job))
                for job, _, error in rows
                if error
            ]
            left -= len(rows)
            done(sum(len(job.texts) for job, *_ in rows))
    except SET_UP:
        raise
    except NVRerankError as error:
        what = f"{left} queries not scored: {type(error).__name__}: {error}"
        failures.append(FailedQuery(cache.task.label, None, what))
    return failures


def _known(job: QueryJob, scores: Sequence[float | None]) -> Mapping[str, float]:
    return {key: score for key, score in zip(job.texts, scores, strict=True) if score is not None}


def _with_ids(error: str, job: QueryJob) -> str:
    """An error with the passages' ids in place of their numbers."""
    ids = list(job.texts)
    return re.sub(r"passages\[(\d+)\]", lambda found: f"passage {ids[int(found[1])]}", error)
