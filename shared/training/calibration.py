"""From logits to probabilities: a temperature and an offset, and how far the probabilities are off. Pure.

They are fitted on candidates of all ranks of questions that were not trained on, each candidate weighing as
much as any other (Platt, 1999; https://arxiv.org/abs/1706.04599 for the expected calibration error).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

BINS = 15


@dataclass(frozen=True)
class Calibration:
    """sigmoid((logit - offset) / temperature) is a probability."""

    temperature: float
    offset: float

    def logits(self, raw: Tensor) -> Tensor:
        """Calibrated logits."""
        return (raw - self.offset) / self.temperature


def fit(raw: Tensor, relevant: Tensor) -> Calibration:
    """Fits both numbers by the log-loss.

    Args:
        raw: Logits: [candidates]
        relevant: 1 for each positive, 0 for each negative: [candidates]

    Raises:
        ValueError: All candidates are of one kind, or better candidates have lower logits.
    """
    if not 0 < relevant.float().mean() < 1:
        raise ValueError("calibration needs positives and negatives")
    centre, spread = raw.double().mean(), raw.double().std()
    scaled, target = (raw.double() - centre) / spread, relevant.double()
    line = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([line], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = F.binary_cross_entropy_with_logits(line[0] * scaled + line[1], target)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    slope, shift = (float(one) for one in line.detach())
    if slope <= 0:
        raise ValueError("the logits of relevant candidates are not the higher ones")
    return Calibration(float(spread) / slope, float(centre) - float(spread) * shift / slope)


def expected_error(probabilities: Tensor, relevant: Tensor, bins: int = BINS) -> float:
    """The expected calibration error: |share of relevant ones - mean probability|, over equally wide bins."""
    places = (probabilities * bins).long().clamp(max=bins - 1)
    gaps = torch.zeros(bins, dtype=torch.float64).index_add_(0, places, (relevant - probabilities).double())
    return float(gaps.abs().sum() / len(probabilities))
