"""Ratios of paired rounds, and how close scores are to a reference. Pure."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from scipy.stats import ConstantInputWarning, kendalltau, spearmanr


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

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}..{self.most:.2f})"


def paired_ratios(ones: Sequence[float], others: Sequence[float]) -> list[float]:
    """One by the other, round by round: a machine that drifts moves both."""
    return [one / other for one, other in zip(ones, others, strict=True)]


@dataclass(frozen=True)
class Agreement:
    """How close scores are to the reference; of several queries the least."""

    deviation: float  # largest absolute difference of a score
    spread: float  # standard deviation of the reference's scores, to hold it against
    spearman: float  # rank correlation
    kendall: float  # tau-b
    top10: float  # share of the reference's first ten that are among the first ten


def agreement(scores: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> Agreement:
    """Of scores of several queries with the reference's; NaN where all of one side are equal.

    Raises:
        ValueError: They are not as many.
    """
    pairs = list(zip(scores, reference, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        return Agreement(
            deviation=max(abs(a - b) for mine, theirs in pairs for a, b in zip(mine, theirs, strict=True)),
            spread=statistics.pstdev(chain.from_iterable(reference)),
            spearman=min(float(spearmanr(*pair).statistic) for pair in pairs),
            kendall=min(float(kendalltau(*pair).statistic) for pair in pairs),
            top10=min(top_overlap(*pair) for pair in pairs),
        )


def top_overlap(scores: Sequence[float], reference: Sequence[float], count: int = 10) -> float:
    """Share of the first `count` of the reference that are among the first `count` of the scores."""
    mine, theirs = (
        set(sorted(range(len(side)), key=lambda at: -side[at])[:count]) for side in (scores, reference)
    )
    return len(mine & theirs) / len(theirs)
