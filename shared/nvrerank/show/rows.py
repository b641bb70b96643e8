"""A ranking as rows: where each passage stood, where it stands, what it scored. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nvrerank.results import Ranked, Ranking


@dataclass(frozen=True, slots=True)
class Row:
    """One passage of a ranking.

    Attributes:
        rank: Its place, from 1.
        before: Its place in the retrieval order, from 1.
        moved: How many places it rose; less than 0: it fell.
        index: Its index in the input.
        score: What the reranker scored it; None: not scored.
        retrieval_score: What retrieval scored it; None: not known.
        fused: What it was ordered by together with retrieval; None: by its score alone.
        text: The passage.
        truncated: Whether its end was not read; None: not known.
        window: The characters that the score comes from, as (start, end); None: all.
    """

    rank: int
    before: int
    moved: int
    index: int
    score: float | None
    retrieval_score: float | None
    fused: float | None
    text: str
    truncated: bool | None
    window: tuple[int, int] | None


def rows_of(ranking: Ranking) -> list[Row]:
    """The rows of a ranking, best first."""
    known = ranking.retrieval_scores or [None] * len(ranking.passages)
    return [_row(rank, one, ranking.passages, known) for rank, one in enumerate(ranking, start=1)]


def _row(rank: int, one: Ranked, passages: Sequence[str], known: Sequence[float | None]) -> Row:
    before = one.index + 1
    return Row(
        rank=rank,
        before=before,
        moved=before - rank,
        index=one.index,
        score=one.score,
        retrieval_score=known[one.index],
        fused=one.fused,
        text=passages[one.index],
        truncated=one.truncated,
        window=one.window,
    )


def dropped(ranking: Ranking) -> list[int]:
    """The indices of the passages that were ranked and did not stay, in retrieval order."""
    stayed = {one.index for one in ranking}
    return [index for index in range(len(ranking.passages)) if index not in stayed]


def checked_count(name: str, count: int | None, *, least: int = 0) -> int | None:
    """A number of rows or characters; None: no limit.

    Raises:
        TypeError: It is no integer.
        ValueError: It is less than `least`.
    """
    if count is None:
        return None
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"{name} must be an int or None, not {count!r}")
    if count < least:
        raise ValueError(f"{name} must be {least} or more, not {count}")
    return count
