"""Scores what has no score yet: a few queries at a time, each answer kept before the next is asked for.

What is scored for a query, and the order that the scores give, go through nvrerank's own ranking: what is
measured is what a user of `rerank` gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from nvrerank.errors import (
    AuthenticationError,
    MissingExtraError,
    MissingKeyError,
    ModelLoadError,
    ModelRetiredError,
    RequestRejectedError,
    ScoringError,
)
from nvrerank.fusion import FusionName
from nvrerank.ranking import prepare, rerank
from nvrerank.scorer import Scorer, scores_together
from nvrerank.texts import encodable

from .score_cache import ScoreCache
from .scorers import NamedScorer
from .task import Task
from .trec import Candidates, Found

SET_UP = (MissingKeyError, MissingExtraError, ModelLoadError, AuthenticationError, ModelRetiredError)
"""Errors that every query would meet: they end the evaluation."""

_QUERIES_AT_ONCE = 8
_FAILURES_IN_A_ROW = 5


@dataclass(frozen=True, slots=True)
class FailedQuery:
    """A query that could not be scored.

    Attributes:
        task: Its data set, with languages.
        query: Its id; None: queries that were not tried any more.
        error: What happened.
    """

    task: str
    query: str | None
    error: str


@dataclass(frozen=True, slots=True)
class QueryJob:
    """A query and what is to be scored for it.

    Attributes:
        id: The query's id.
        query: Its text.
        texts: Passages by id: distinct, none blank.
    """

    id: str
    query: str
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TaskScores:
    """What a scorer made of a task.

    Attributes:
        task: The task.
        scores: By query, then by text.
        failures: Queries that could not be scored.
    """

    task: Task
    scores: Mapping[str, Mapping[str, float]]
    failures: Sequence[FailedQuery]

    def order(self, query: str, found: Found, fuse: FusionName | None = None) -> dict[str, float | None]:
        """A query's candidates in the order that `rerank` gives them, with what orders them; None: blank.

        Args:
            query: Its id.
            found: What retrieval found, best first, with its own scores.
            fuse: How the scorer's order is fused with retrieval's; None: not at all.
        """
        ids = list(found)
        texts = [self.task.passages[one] for one in ids]
        recorded = _Recorded(self.scores[query])
        order = rerank(
            recorded, self.task.queries[query], texts, fuse=fuse, retrieval_scores=list(found.values())
        )
        return {ids[one.index]: one.score if fuse is None else one.fused for one in order}


class _Recorded(Scorer):
    """Knows the scores already."""

    def __init__(self, scores: Mapping[str, float]) -> None:
        self._scores = scores

    def score(self, query: str, passages: Sequence[str]) -> list[float]:  # noqa: ARG002
        return [self._scores[passage] for passage in passages]


def scored(
    tasks: Sequence[Task],
    found: Candidates,
    named: Sequence[NamedScorer],
    kept: Path | None,
    *,
    progress: bool,
) -> dict[str, list[TaskScores]]:
    """Scores what any retriever found, scorer by scorer, under one bar.

    Args:
        tasks: All tasks.
        found: The candidates.
        named: The scorers.
        kept: Where scores are kept, of scorers with an identity; None: nowhere.
        progress: Whether the bar shows.

    Returns:
        By scorer, task by task.

    Raises:
        DataError: Kept scores are broken.
        ValueError: A model can't be used with these settings.
        NVRerankError: A scorer has to be set up first, or its model is gone.
    """
    folder = None if kept is None else kept / "scores"
    jobs = {task.label: query_jobs(task, found) for task in tasks}
    caches = {
        one.label: [
            ScoreCache(None if one.identity is None else folder, task, one.label, one.identity or {})
            for task in tasks
        ]
        for one in named
    }
    rest = {
        label: [missing(jobs[cache.task.label], cache) for cache in of_tasks]
        for label, of_tasks in caches.items()
    }
    for one in named:
        if one.load is not None and any(rest[one.label]):
            one.load()  # what is wrong with the last is not found only when the first has scored for hours
    total = sum(len(job.texts) for of_tasks in rest.values() for of_task in of_tasks for job in of_task)
    results: dict[str, list[TaskScores]] = {}
    with tqdm(total=total, unit="pair", desc="scoring", disable=not progress or not total) as bar:
        for one in named:
            for cache, todo in zip(caches[one.label], rest[one.label], strict=True):
                with cache:
                    failures = score_all(todo, one.scorer, cache, bar.update)
                scores = {job.id: _by_text(cache, job) for job in jobs[cache.task.label]}
                results.setdefault(one.label, []).append(TaskScores(cache.task, scores, failures))
    return results


def query_jobs(task: Task, found: Candidates) -> list[QueryJob]:
    """For each query what any retriever found: as `rerank` asks it, without blanks and duplicates.

    Of passages with equal texts the corpus's first stands for all.
    """
    first: dict[str, str] = {}
    for key, text in task.passages.items():
        first.setdefault(encodable(text), key)
    jobs = []
    for query, text in task.queries.items():
        union = dict.fromkeys(one for runs in found.values() for one in runs[task.label].get(query, ()))
        prepared = prepare(text, [task.passages[one] for one in union])
        jobs.append(QueryJob(query, prepared.query, {first[one]: one for one in prepared.texts}))
    return jobs


def missing(jobs: Iterable[QueryJob], cache: ScoreCache) -> list[QueryJob]:
    """The jobs without what is kept already; none that is done."""
    rest = []
    for job in jobs:
        kept = cache.scores(job.id)
        texts = {key: text for key, text in job.texts.items() if key not in kept}
        if texts:
            rest.append(QueryJob(job.id, job.query, texts))
    return rest


def _by_text(cache: ScoreCache, job: QueryJob) -> dict[str, float]:
    kept = cache.scores(job.id)
    return {text: kept[key] for key, text in job.texts.items() if key in kept}


def score_all(
    jobs: Sequence[QueryJob], scorer: Scorer, cache: ScoreCache, done: Callable[[int], object]
) -> list[FailedQuery]:
    """Scores jobs and keeps the scores.

    Args:
        jobs: What has no score yet.
        scorer: What scores.
        cache: Where scores are kept.
        done: Told how many pairs each step was.

    Returns:
        What failed. After a few failures in a row the rest is not tried, and that is said once.

    Raises:
        NVRerankError: The scorer has to be set up first, or its model is gone.
    """
    failures: list[FailedQuery] = []
    row = 0
    left = len(jobs)
    for chunk in _chunks(jobs, scorer):
        failed = _score(chunk, scorer, cache)
        failures += failed
        row = row + len(failed) if len(failed) == len(chunk) else 0
        left -= len(chunk)
        done(sum(len(job.texts) for job in chunk))
        if row >= _FAILURES_IN_A_ROW and left:
            what = f"{left} more queries not tried after {row} failures in a row"
            return [*failures, FailedQuery(failures[-1].task, None, what)]
    return failures


def _chunks(jobs: Sequence[QueryJob], scorer: Scorer) -> Iterator[Sequence[QueryJob]]:
    """Several queries at once only for a scorer that gains by it: one's answer can be kept sooner."""
    size = _QUERIES_AT_ONCE if scores_together(scorer) else 1
    return (jobs[start : start + size] for start in range(0, len(jobs), size))


def _score(jobs: Sequence[QueryJob], scorer: Scorer, cache: ScoreCache) -> list[FailedQuery]:
    """Scores a chunk; where it fails, one query after another, to find the one that is to blame."""
    try:
        answers = _answers(jobs, scorer)
    except SET_UP:
        raise
    except Exception as error:  # noqa: BLE001 # anyone's scorer: whatever it raises is told with its query
        if len(jobs) == 1:
            return [FailedQuery(cache.task.label, jobs[0].id, _described(error, jobs[0]))]
        return [failure for job in jobs for failure in _score([job], scorer, cache)]
    cache.add(answers)
    return []


def _answers(jobs: Sequence[QueryJob], scorer: Scorer) -> list[tuple[str, dict[str, float]]]:
    answers = scorer.score_many_clean([(job.query, list(job.texts.values())) for job in jobs])
    return [
        (job.id, dict(zip(job.texts, [one.logit for one in answer], strict=True)))
        for job, answer in zip(jobs, answers, strict=True)
    ]


def _described(error: Exception, job: QueryJob) -> str:
    if isinstance(error, ScoringError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # whose scorer it is, the report says
    text = " ".join(f"{type(error).__name__}: {error}".split())
    index = error.index if isinstance(error, RequestRejectedError) else None
    passages = list(job.texts)
    return f"{text} (passage {passages[index]})" if index is not None and index < len(passages) else text
