"""Scores what has no score yet: a few queries at a time, each answer kept before the next is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from nvrerank.errors import (
    AuthenticationError,
    BadResponseError,
    MissingExtraError,
    MissingKeyError,
    ModelLoadError,
    ModelRetiredError,
    RequestRejectedError,
)
from nvrerank.scorer import Scorer, checked_scores

from .jobs import Distinct, Job, missing
from .making import Named
from .runs import Candidates
from .store import ScoreStore
from .task import Task

SET_UP = (MissingKeyError, MissingExtraError, ModelLoadError, AuthenticationError, ModelRetiredError)
"""Errors that every query would meet: they end the evaluation."""

_QUERIES_AT_ONCE = 8
_FAILURES_IN_A_ROW = 5


@dataclass(frozen=True, slots=True)
class Failure:
    """A query that could not be scored.

    Attributes:
        task: Its data set, with languages.
        query: Its id; None: queries that were not tried any more.
        error: What happened.
    """

    task: str
    query: str | None
    error: str


def score_all(
    jobs: Sequence[Job], scorer: Scorer, store: ScoreStore, done: Callable[[int], object]
) -> list[Failure]:
    """Scores jobs and keeps the scores.

    Args:
        jobs: What has no score yet.
        scorer: What scores.
        store: Where scores are kept.
        done: Told how many pairs each step was.

    Returns:
        What failed. After a few failures in a row the rest is not tried, and that is said once.

    Raises:
        NVRerankError: The scorer has to be set up first, or its model is gone.
    """
    failures: list[Failure] = []
    row = 0
    left = len(jobs)
    for chunk in _chunks(jobs, scorer):
        failed = _score(chunk, scorer, store)
        failures += failed
        row = row + len(failed) if len(failed) == len(chunk) else 0
        left -= len(chunk)
        done(sum(len(job.texts) for job in chunk))
        if row >= _FAILURES_IN_A_ROW and left:
            what = f"{left} more queries not tried after {row} failures in a row"
            return [*failures, Failure(failures[-1].task, None, what)]
    return failures


def _chunks(jobs: Sequence[Job], scorer: Scorer) -> Iterator[Sequence[Job]]:
    """Several queries at once only for a scorer that gains by it: one's answer can be kept sooner."""
    alone = type(scorer).score_many is Scorer.score_many
    size = 1 if alone else _QUERIES_AT_ONCE
    return (jobs[start : start + size] for start in range(0, len(jobs), size))


def _score(jobs: Sequence[Job], scorer: Scorer, store: ScoreStore) -> list[Failure]:
    """Scores a chunk; where it fails, one query after another, to find the one that is to blame."""
    try:
        answers = _answers(jobs, scorer)
    except SET_UP:
        raise
    except Exception as error:  # noqa: BLE001 # anyone's scorer: whatever it raises is told with its query
        if len(jobs) == 1:
            return [Failure(store.task.label, jobs[0].id, _described(error, jobs[0]))]
        return [failure for job in jobs for failure in _score([job], scorer, store)]
    store.add(answers)
    return []


def _answers(jobs: Sequence[Job], scorer: Scorer) -> list[tuple[str, dict[str, float]]]:
    answers = scorer.score_many([(job.query, list(job.texts.values())) for job in jobs])
    if len(answers) != len(jobs):
        raise BadResponseError(f"{scorer.name} answered {len(answers)} of {len(jobs)} queries: report it")
    checked = [
        checked_scores(scores, len(job.texts), source=scorer.name)
        for job, scores in zip(jobs, answers, strict=True)
    ]
    return [
        (job.id, dict(zip(job.texts, scores, strict=True))) for job, scores in zip(jobs, checked, strict=True)
    ]


def _described(error: Exception, job: Job) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    passages = list(job.texts)
    index = error.index if isinstance(error, RequestRejectedError) else None
    if index is not None and index < len(passages):
        return f"{text} (passage {passages[index]})"
    return text


@dataclass(frozen=True, slots=True)
class Scored:
    """What a scorer made of the tasks.

    Attributes:
        label: The scorer's.
        scores: By task and query, then by text.
        failures: Queries that could not be scored.
    """

    label: str
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]
    failures: Sequence[Failure]


def scored(
    tasks: Sequence[Task], found: Candidates, named: Sequence[Named], kept: Path | None, *, progress: bool
) -> list[Scored]:
    """Scores what any retriever found, scorer by scorer, under one bar.

    Args:
        tasks: All tasks.
        found: The candidates.
        named: The scorers.
        kept: Where scores are kept; None: nowhere.
        progress: Whether the bar shows.

    Raises:
        DataError: Kept scores are broken.
        ValueError: A model can't be used with these settings.
        NVRerankError: A scorer has to be set up first, or its model is gone.
    """
    folder = None if kept is None else kept / "scores"
    distinct = {task.label: Distinct(task) for task in tasks}
    work: list[list[tuple[ScoreStore, list[Job], list[Job]]]] = []
    for one in named:
        stores = [ScoreStore(folder, task, one.label, one.identity) for task in tasks]
        jobs = [_jobs(store.task, found, distinct[store.task.label]) for store in stores]
        work.append([(store, mine, missing(mine, store)) for store, mine in zip(stores, jobs, strict=True)])
    for one, group in zip(named, work, strict=True):
        if one.load is not None and any(rest for _, _, rest in group):
            one.load()  # what is wrong with the last is not found only when the first has scored for hours
    total = sum(len(job.texts) for group in work for _, _, rest in group for job in rest)
    results = []
    with tqdm(total=total, unit="pair", desc="scoring", disable=not progress or not total) as bar:
        for one, group in zip(named, work, strict=True):
            failures = [
                failure for store, _, rest in group for failure in _filled(store, rest, one, bar.update)
            ]
            scores = {store.task.label: _by_text(store, jobs, distinct) for store, jobs, _ in group}
            results.append(Scored(one.label, scores, failures))
    return results


def _filled(
    store: ScoreStore, rest: Sequence[Job], one: Named, done: Callable[[int], object]
) -> list[Failure]:
    with store:
        return score_all(rest, one.scorer, store, done)


def _jobs(task: Task, found: Candidates, distinct: Distinct) -> list[Job]:
    """For each query what any of the retrievers found."""
    union = {
        query: dict.fromkeys(one for runs in found.values() for one in runs[task.label].get(query, ()))
        for query in task.queries
    }
    return [distinct.job(query, candidates) for query, candidates in union.items()]


def _by_text(
    store: ScoreStore, jobs: Iterable[Job], distinct: Mapping[str, Distinct]
) -> dict[str, Mapping[str, float]]:
    texts = distinct[store.task.label]
    return {job.id: texts.text_scores(store.scores(job.id)) for job in jobs}
