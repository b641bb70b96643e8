"""What there is to score for each query, and the order that the scores give. Pure.

Both go through nvrerank's own ranking: what is measured is what a user of `rerank` gets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nvrerank.fusion import FusionName
from nvrerank.ranking import prepare, rerank
from nvrerank.scorer import Scorer
from nvrerank.texts import encodable

from .runs import Found
from .store import ScoreStore
from .task import Task


@dataclass(frozen=True, slots=True)
class Job:
    """A query and what is to be scored for it.

    Attributes:
        id: The query's id.
        query: Its text.
        texts: Passages by id: distinct, none blank.
    """

    id: str
    query: str
    texts: Mapping[str, str]


class Distinct:
    """Which passage of a corpus stands for those of equal text: the first.

    Args:
        task: Whose corpus.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._first: dict[str, str] = {}
        for key, text in task.passages.items():
            self._first.setdefault(encodable(text), key)

    def job(self, query: str, candidates: Iterable[str]) -> Job:
        """What there is to score for a query: as `rerank` asks it, without blanks and duplicates."""
        texts = (self._task.passages[one] for one in candidates)
        prepared = prepare(self._task.queries[query], texts)
        return Job(query, prepared.query, {self._first[text]: text for text in prepared.texts})

    def text_scores(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Scores by passage id as scores by text."""
        return {encodable(self._task.passages[key]): score for key, score in scores.items()}


def missing(jobs: Iterable[Job], store: ScoreStore) -> list[Job]:
    """The jobs without what is kept already; none that is done."""
    rest = []
    for job in jobs:
        kept = store.scores(job.id)
        texts = {key: text for key, text in job.texts.items() if key not in kept}
        if texts:
            rest.append(Job(job.id, job.query, texts))
    return rest


def ranked(
    task: Task, query: str, found: Found, scores: Mapping[str, float], fuse: FusionName | None = None
) -> dict[str, float | None]:
    """The candidates in the order that `rerank` gives them, with what orders them; None: blank.

    Args:
        task: Whose query.
        query: Its id.
        found: What retrieval found, best first, with its own scores.
        scores: The scorer's, by text.
        fuse: How the scorer's order is fused with retrieval's; None: not at all.
    """
    ids = list(found)
    texts = [task.passages[one] for one in ids]
    order = rerank(
        _Recorded(scores), task.queries[query], texts, fuse=fuse, retrieval_scores=list(found.values())
    )
    return {ids[one.index]: one.score if fuse is None else one.fused for one in order}


class _Recorded(Scorer):
    """Answers from what was scored."""

    def __init__(self, scores: Mapping[str, float]) -> None:
        self._scores = scores

    def score(self, query: str, passages: Sequence[str]) -> list[float]:  # noqa: ARG002 # of one query
        return [self._scores[passage] for passage in passages]
