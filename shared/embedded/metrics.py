"""Ranking metrics and paired bootstrap intervals. Pure: knows lists of ids and arrays of figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import numpy.typing as npt

Figures = npt.NDArray[np.float64]


def recall_at(k: int, ranking: Sequence[str], relevant: AbstractSet[str]) -> float:
    """Share of the relevant passages that are among the first k."""
    return len(relevant & set(ranking[:k])) / len(relevant)


def ndcg_at(k: int, ranking: Sequence[str], relevant: AbstractSet[str]) -> float:
    """Discounted gain of the first k over that of the best order (binary relevance)."""
    gain = sum(1 / math.log2(place + 2) for place, one in enumerate(ranking[:k]) if one in relevant)
    return gain / sum(1 / math.log2(place + 2) for place in range(min(k, len(relevant))))


def measure(ranking: Sequence[str], relevant: AbstractSet[str]) -> dict[str, float]:
    """The three figures that are reported."""
    return {
        "R@1": recall_at(1, ranking, relevant),
        "R@5": recall_at(5, ranking, relevant),
        "nDCG@10": ndcg_at(10, ranking, relevant),
    }


def interval(
    gains: Mapping[str, Figures], *, draws: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean over the sets of the mean gain, and its 95 % interval.

    Given for each set the paired differences of its queries; the queries of each set are drawn anew.
    """
    random = np.random.default_rng(seed)
    means = [
        gain[random.integers(0, len(gain), size=(draws, len(gain)))].mean(axis=1) for gain in gains.values()
    ]  # [sets][draws]
    low, high = np.percentile(np.mean(means, axis=0), [2.5, 97.5])
    return float(np.mean([gain.mean() for gain in gains.values()])), float(low), float(high)
