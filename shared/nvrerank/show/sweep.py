"""What each threshold would keep of passages whose relevance is known. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import SupportsFloat


@dataclass(frozen=True, slots=True)
class Kept:
    """What one threshold keeps, of all passages together.

    Attributes:
        threshold: The least score that stays, inclusive as in `rerank(threshold=...)`.
        kept: How many passages stay.
        precision: The share of these that is relevant, 0..1; 0 where none stays.
        recall: The share of the relevant that stays, 0..1.
        f1: 2 · precision · recall / (precision + recall); 0 where both are (van Rijsbergen 1979).
    """

    threshold: float
    kept: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Sweep:
    """Precision, recall and F1 over the threshold.

    Attributes:
        points: One for each distinct score, thresholds rising; between two the figures are the higher's.
        passages: How many there were.
        relevant: How many of them are relevant.
    """

    points: tuple[Kept, ...]
    passages: int
    relevant: int

    @property
    def best(self) -> Kept:
        """The point of the greatest F1; of several the one that keeps least."""
        return max(self.points, key=lambda point: (point.f1, point.threshold))

    def at(self, threshold: float) -> Kept:
        """What a threshold of your own keeps."""
        place = bisect_left(self.points, threshold, key=lambda point: point.threshold)
        if place == len(self.points):
            return Kept(threshold, 0, 0.0, 0.0, 0.0)
        point = self.points[place]
        return Kept(threshold, point.kept, point.precision, point.recall, point.f1)


def threshold_sweep(scores: Iterable[SupportsFloat], relevant: Iterable[SupportsFloat]) -> Sweep:
    """Tries every threshold on passages of which it is known whether they are relevant.

    Take the scores of all passages of many queries, each with the same scorer and `score_mode` as later
    in use, and without `top_n`.

    Args:
        scores: One a passage; blank passages have none, leave them out.
        relevant: For each whether it is relevant: a bool, or a grade of which more than 0 is relevant.

    Returns:
        The figures.

    Raises:
        TypeError: A score or grade is not a number.
        ValueError: The lengths differ, a number is not finite, or no passage is relevant.
    """
    known = _numbers("scores", scores)
    grades = _numbers("relevant", relevant)
    if len(known) != len(grades):
        raise ValueError(f"each score needs one grade: {len(known)} scores, {len(grades)} grades")
    hits = sum(grade > 0 for grade in grades)
    if not hits:
        raise ValueError("no passage is relevant: without one there is nothing to find")
    return Sweep(tuple(_points(known, [grade > 0 for grade in grades], hits)), len(known), hits)


def _points(scores: Sequence[float], relevant: Sequence[bool], hits: int) -> list[Kept]:
    ordered = sorted(zip(scores, relevant, strict=True), reverse=True)
    found = accumulate(int(hit) for _, hit in ordered)
    last = {
        score: (kept, right) for kept, ((score, _), right) in enumerate(zip(ordered, found, strict=True), 1)
    }
    return [_kept(score, kept, right, hits) for score, (kept, right) in reversed(last.items())]


def _kept(threshold: float, kept: int, right: int, hits: int) -> Kept:
    return Kept(threshold, kept, right / kept, right / hits, 2 * right / (kept + hits))


def _numbers(name: str, values: Iterable[SupportsFloat]) -> list[float]:
    numbers = []
    for index, value in enumerate(values):
        if isinstance(value, str | bytes) or not isinstance(value, SupportsFloat):
            raise TypeError(f"{name}[{index}] must be a number, not {value!r}")
        numbers.append(float(value))
        if not math.isfinite(numbers[-1]):
            raise ValueError(f"{name}[{index}] must be finite, not {value!r}")
    return numbers
