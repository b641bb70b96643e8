"""How well an order answers the questions, by topic. Pure.

A reader wants the right topic, however many passages it was cut into: a topic stands where its first
passage stands, and its other passages take up no place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from nvrerank.evaluation.metrics import measured, metrics

MEASURES = {"R@1": "Success@1", "Recall@5": "R@5", "nDCG@10": "nDCG@10"}
"""R@1: share of questions with a right topic in first place; Recall@5: share of a question's right
topics among the first five; nDCG@10: the same for ten, where a higher place counts more."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Each measure over all questions, and nDCG@10 of each question, in order."""

    mean: dict[str, float]
    ndcg: list[float]

    def gains_over(self, other: Figures) -> list[float]:
        """By how much each question's nDCG@10 is above another order's."""
        return [mine - theirs for mine, theirs in zip(self.ndcg, other.ndcg, strict=True)]


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
    return Figures(mean, list(values["nDCG@10"].values()))
