"""A ranking as rows: where each passage stood, where it stands, what it scored. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nvrerank._checks import checked_integer
from nvrerank.images import caption_of
from nvrerank.results import Ranking
from nvrerank.segmentation import Span


@dataclass(frozen=True, slots=True)
class Row:
    """One passage of a ranking.

    Attributes:
        rank: Its place, from 1.
        before: Its place in the retrieval order, from 1.
        index: Its index in the input.
        score: What the reranker scored it; None: not scored.
        retrieval_score: What retrieval scored it; None: not known.
        fused: What it was ordered by together with retrieval; None: by its score alone.
        text: The passage; "(image)" for one without a text.
        truncated: Whether its end was not read; None: not known.
        window: The characters that the score comes from, as (start, end); None: all.
    """

    rank: int
    before: int
    index: int
    score: float | None
    retrieval_score: float | None
    fused: float | None
    text: str
    truncated: bool | None
    window: Span | None

    @property
    def moved(self) -> int:
        """How many places it rose; less than 0: it fell."""
        return self.before - self.rank


def rows_of(ranking: Ranking, rows: int | None = None) -> list[Row]:
    """The rows of a ranking, best first, at most `rows` of them.

    Raises:
        TypeError: rows is no integer.
        ValueError: rows is less than 0.
    """
    known = ranking.retrieval_scores or [None] * len(ranking.passages)
    return [
        Row(
            rank,
            one.index + 1,
            one.index,
            one.score,
            known[one.index],
            one.fused,
            caption_of(ranking.passages[one.index]),
            one.truncated,
            one.window,
        )
        for rank, one in enumerate(ranking[: checked_count("rows", rows)], start=1)
    ]


def check_labels(labels: Sequence[str] | None, ranking: Ranking) -> None:
    """Raises `ValueError` if there are labels, but not one for each passage."""
    if labels is not None and len(labels) != len(ranking.passages):
        raise ValueError(f"labels must name each passage: {len(labels)} for {len(ranking.passages)}")


def checked_count(name: str, count: int | None, *, least: int = 0) -> int | None:
    """A number of rows or characters; None: no limit.

    Raises:
        TypeError: It is no integer.
        ValueError: It is less than `least`.
    """
    return None if count is None else checked_integer(name, count, least=least)
