"""How well an order answers the questions, by topic. Pure.

A reader wants the right topic, however many passages it was cut into: a topic stands where its first
passage stands, and its other passages take up no place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from nvrerank.evaluation.metrics import Stratum, interval, measured, metrics

MEASURES = {"R@1": "Success@1", "Recall@5": "R@5", "nDCG@10": "nDCG@10"}
"""R@1: share of questions with a right topic in first place; Recall@5: share of a question's right
topics among the first five; nDCG@10: the same for ten, where a higher place counts more."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Measures of an order, over all questions and for each.

    Attributes:
        mean: Each measure over all questions.
        ndcg: nDCG@10 of each question, in order.
        first: Where each question's first right topic stands, from 1; 0: nowhere.
    """

    mean: dict[str, float]
    ndcg: list[float]
    first: list[int]

    def gains_over(self, other: Figures) -> list[float]:
        """By how much each question's nDCG@10 is above another order's."""
        return [mine - theirs for mine, theirs in zip(self.ndcg, other.ndcg, strict=True)]

    def gain_over(self, other: Figures) -> Gain:
        """What nDCG@10 is above another order's."""
        gains = self.gains_over(other)
        low, high = interval([Stratum(1.0, gains)])
        better, worse = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
        return Gain(fmean(gains), low, high, better, worse)


@dataclass(frozen=True, slots=True)
class Gain:
    """A mean gain with its 95 % interval, and how many questions are answered better and worse."""

    mean: float
    low: float
    high: float
    better: int
    worse: int


def evaluate(orders: Sequence[Sequence[str]], answers: Sequence[frozenset[str]]) -> Figures:
    """Compares orders with the topics that answer.

    Args:
        orders: For each question the topics of its passages, best passage first; they may repeat.
        answers: For each question the right topics; at least one.
    """
    qrels = {str(number): dict.fromkeys(topics, 1) for number, topics in enumerate(answers)}
    run = {str(number): dict.fromkeys(order) for number, order in enumerate(orders)}
    values = measured(qrels, run, metrics(MEASURES.values()))
    mean = {name: fmean(values[measure].values()) for name, measure in MEASURES.items()}
    first = [
        next((place for place, topic in enumerate(run[question], start=1) if topic in topics), 0)
        for question, topics in qrels.items()
    ]
    return Figures(mean, list(values["nDCG@10"].values()), first)
