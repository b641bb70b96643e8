"""From seconds and scores to what the report says. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """The middle of several rounds and how far they lie apart."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


def paired_ratios(theirs: Sequence[float], ours: Sequence[float]) -> list[float]:
    """Theirs by ours, round by round: above 1, ours is faster. A drifting machine moves both."""
    return [their / our for their, our in zip(theirs, ours, strict=True)]


@dataclass(frozen=True)
class Agreement:
    """How close scores are to the reference.

    Attributes:
        deviation: Largest absolute difference of a score.
        spread: Standard deviation of the reference's scores, to hold it against.
        spearman: Correlation of ranks, the least of all queries.
        kendall: Tau-b, the least of all queries.
        top10: Share of the reference's first ten that are among the first ten, the least of all queries.
    """

    deviation: float
    spread: float
    spearman: float
    kendall: float
    top10: float


def agreement(scores: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> Agreement:
    """Of scores of several queries with the reference's.

    Raises:
        ValueError: They are not as many.
    """
    pairs = list(zip(scores, reference, strict=True))
    flat = [(one, other) for mine, theirs in pairs for one, other in zip(mine, theirs, strict=True)]
    return Agreement(
        deviation=max(abs(one - other) for one, other in flat),
        spread=statistics.pstdev(other for _one, other in flat),
        spearman=min(spearman(mine, theirs) for mine, theirs in pairs),
        kendall=min(kendall(mine, theirs) for mine, theirs in pairs),
        top10=min(top_overlap(mine, theirs) for mine, theirs in pairs),
    )


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1 for the smallest; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            found[place] = (start + end) / 2 + 1
        start = end + 1
    return found


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Pearson's correlation of ranks; NaN where all of one side are equal."""
    try:
        return statistics.correlation(ranks(one), ranks(other))
    except statistics.StatisticsError:
        return math.nan


def kendall(one: Sequence[float], other: Sequence[float]) -> float:
    """Tau-b: pairs in the same order less those in the opposite one; NaN where all are equal."""
    balance = one_differs = other_differs = 0
    for later in range(len(one)):
        for earlier in range(later):
            mine = _sign(one[later] - one[earlier])
            theirs = _sign(other[later] - other[earlier])
            balance += mine * theirs
            one_differs += abs(mine)
            other_differs += abs(theirs)
    scale = math.sqrt(one_differs * other_differs)
    return balance / scale if scale else math.nan


def top_overlap(one: Sequence[float], other: Sequence[float], count: int = 10) -> float:
    """Share of the first `count` of the other that are among the first `count` of the one."""
    firsts = [set(sorted(range(len(side)), key=lambda at: -side[at])[:count]) for side in (one, other)]
    return len(firsts[0] & firsts[1]) / len(firsts[1])


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
