"""Scores what has no score yet: a few queries at a time, each answer kept before the next is asked for.

What is scored for a query, and the order that the scores give, go through nvrerank's own ranking: what is
measured is what a user of `rerank` gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from nvrerank import errors
from nvrerank.fusion import FusionName
from nvrerank.ranking import prepare, rerank
from nvrerank.scorer import Scorer, scores_together
from nvrerank.texts import encodable

from .score_cache import ScoreCache
from .scorers import NamedScorer
from .task import Task
from .trec import Candidates, Found

if TYPE_CHECKING:
    from nvrerank.bulk.ray_engine import RayActors

SET_UP = (
    *(errors.MissingKeyError, errors.MissingExtraError, errors.ModelLoadError),
    *(errors.AuthenticationError, errors.ModelRetiredError),
)
"""Errors that every query would meet: they end the evaluation."""

QUERIES_AT_ONCE = 8
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
    """A query's id and text, and the texts of the passages to score for it, by id: distinct, none blank."""

    id: str
    query: str
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TaskScores:
    """What a scorer made of a task: scores by query, then by text."""

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
        recorded, retrieved = _Recorded(self.scores[query]), list(found.values())
        order = rerank(recorded, self.task.queries[query], texts, fuse=fuse, retrieval_scores=retrieved)
        return {ids[one.index]: one.score if fuse is None else one.fused for one in order}


class _Recorded(Scorer):
    """Knows the scores already."""

    def __init__(self, scores: Mapping[str, float]) -> None:
        self._scores = scores

    def _score(self, query: str, passages: Sequence[str]) -> list[float]:  # noqa: ARG002
        return [self._scores[passage] for passage in passages]


def scored(
    tasks: Sequence[Task],
    found: Candidates,
    named: Sequence[NamedScorer],
    kept: Path | None,
    *,
    progress: bool,
    actors: RayActors | None = None,
) -> dict[str, list[TaskScores]]:
    """Scores what any retriever found, scorer by scorer and task by task, under one bar.

    Scores of a scorer with an identity are kept in the folder `kept`; None: nowhere. With `actors` it is they
    who score, on Ray.

    Raises:
        DataError: Kept scores are broken.
        ValueError: A model can't be used with these settings.
        NVRerankError: A scorer has to be set up first, or its model is gone.
    """
    jobs = {task.label: query_jobs(task, found) for task in tasks}
    plan = []
    for one, task in product(named, tasks):
        folder = None if kept is None or one.identity is None else kept / "scores"
        cache = ScoreCache(folder, task, one.label, one.identity or {})
        plan.append((one, cache, missing(jobs[task.label], cache)))
    for one in named:
        if actors is None and one.load is not None and any(rest for other, _, rest in plan if other is one):
            one.load()  # what is wrong with the last is not found only when the first has scored for hours
    total = sum(len(job.texts) for _, _, rest in plan for job in rest)
    results: dict[str, list[TaskScores]] = {}
    with tqdm(total=total, unit="pair", desc="scoring", disable=not progress or not total) as bar:
        for one, cache, rest in plan:
            with cache:
                if actors is None or one.make is None:
                    failures = score_all(rest, one.scorer, cache, bar.update)
                else:
                    from .on_ray import score_all_on_ray

                    failures = score_all_on_ray(rest, one.make, cache, bar.update, actors)
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
        rest.append(replace(job, texts={key: text for key, text in job.texts.items() if key not in kept}))
    return [job for job in rest if job.texts]


def _by_text(cache: ScoreCache, job: QueryJob) -> dict[str, float]:
    kept = cache.scores(job.id)
    return {text: kept[key] for key, text in job.texts.items() if key in kept}


def score_all(
    jobs: Sequence[QueryJob], scorer: Scorer, cache: ScoreCache, done: Callable[[int], object]
) -> list[FailedQuery]:
    """Scores jobs and keeps the scores; `done` is told how many pairs each step was.

    Returns:
        What failed. After a few failures in a row the rest is not tried, and that is said once.

    Raises:
        NVRerankError: The scorer has to be set up first, or its model is gone.
    """
    failures: list[FailedQuery] = []
    row = 0
    size = QUERIES_AT_ONCE if scores_together(scorer) else 1  # one query's answer can be kept sooner
    for start in range(0, len(jobs), size):
        chunk = jobs[start : start + size]
        failed = _score(chunk, scorer, cache)
        failures += failed
        row = row + len(failed) if len(failed) == len(chunk) else 0
        left = len(jobs) - start - len(chunk)
        done(sum(len(job.texts) for job in chunk))
        if row >= _FAILURES_IN_A_ROW and left:
            what = f"{left} more queries not tried after {row} failures in a row"
            return [*failures, FailedQuery(cache.task.label, None, what)]
    return failures


def _score(jobs: Sequence[QueryJob], scorer: Scorer, cache: ScoreCache) -> list[FailedQuery]:
    """Scores a chunk; where it fails, one query after another, to find the one that is to blame."""
    try:
        answers = scorer.score_many_clean([(job.query, list(job.texts.values())) for job in jobs])
    except SET_UP:
        raise
    except Exception as error:  # noqa: BLE001 # anyone's scorer: whatever it raises is told with its query
        if len(jobs) == 1:
            return [FailedQuery(cache.task.label, jobs[0].id, _described(error, jobs[0]))]
        return [failure for job in jobs for failure in _score([job], scorer, cache)]
    logits = ([one.logit for one in answer] for answer in answers)
    cache.add((job.id, dict(zip(job.texts, own, strict=True))) for job, own in zip(jobs, logits, strict=True))
    return []


def _described(error: Exception, job: QueryJob) -> str:
    if isinstance(error, errors.ScoringError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # whose scorer it is, the report says
    text = " ".join(f"{type(error).__name__}: {error}".split())
    index = error.index if isinstance(error, errors.NVRerankError) else None
    passages = list(job.texts)
    return f"{text} (passage {passages[index]})" if index is not None and index < len(passages) else text
