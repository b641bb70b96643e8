"""Paired bootstrap intervals: how far a gain may be chance. Pure.

The percentile method of Efron and Tibshirani (An Introduction to the Bootstrap, 1993, chapter 13) on the
differences of the same queries before and after: queries are drawn anew, with replacement, within each set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_CELLS = 1_000_000  # drawn at once


@dataclass(frozen=True, slots=True)
class Stratum:
    """Queries that are drawn together, and what their mean counts for.

    Attributes:
        weight: Its share in the figure.
        gains: Each query's gain.
    """

    weight: float
    gains: Sequence[float]


def stratum(gains: Sequence[Mapping[str, float]], *, weight: float = 1.0) -> Stratum:
    """A set's tasks, all of which count the same, as one stratum.

    The same question in several languages is drawn once for all of them: they are not independent. Where
    not every task has every question, a question's gain is what it moves the mean of its tasks' means by,
    times the number of questions, about that mean: the bootstrap of the linearised mean. Where every task
    has all, that is the question's mean over the tasks.

    Args:
        gains: For each task, by query.
        weight: What the set counts for.
    """
    means = [sum(one.values()) / len(one) for one in gains]
    middle = sum(means) / len(means)
    pulls: dict[str, float] = {}
    for one, mean in zip(gains, means, strict=True):
        for query, gain in one.items():
            pulls[query] = pulls.get(query, 0.0) + (gain - mean) / (len(one) * len(gains))
    return Stratum(weight, [middle + len(pulls) * pull for pull in pulls.values()])


def interval(
    parts: Sequence[Stratum], *, resamples: int = 10_000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """The interval of a weighted sum of means.

    Args:
        parts: The strata; each is drawn by itself.
        resamples: How often the queries are drawn.
        seed: Of the generator.
        level: How much of the draws lies within.

    Returns:
        Its ends.

    Raises:
        ValueError: There is nothing to draw from, or resamples is less than 1.
    """
    if resamples < 1 or not parts or not all(len(part.gains) for part in parts):
        raise ValueError("an interval needs at least one query in each set and one resample")
    random = np.random.default_rng(seed)
    sums = np.zeros(resamples)
    for part in parts:
        sums += part.weight * _means(np.asarray(part.gains, np.float64), resamples, random)
    low, high = np.quantile(sums, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _means(
    gains: npt.NDArray[np.float64], resamples: int, random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Means of so many draws: [resamples]."""
    rows = max(1, _CELLS // len(gains))
    means = []
    for start in range(0, resamples, rows):
        places = random.integers(0, len(gains), size=(min(rows, resamples - start), len(gains)))
        means.append(gains[places].mean(axis=1))
    return np.concatenate(means)
