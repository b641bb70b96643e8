"""How fast this machine multiplies matrices now: float32, the shape of a model's widest linear layer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.local.adapters.base import Adapter, Job, Setup

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 1024
SECONDS = 0.3


class Probe(Adapter):
    """Its only score is GFLOP/s."""

    packages = ("torch",)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        import torch

        torch.set_num_threads(2)
        hidden, wide = setup.options["hidden"], setup.options["intermediate"]
        self._left, self._right = torch.randn(ROWS, hidden), torch.randn(wide, hidden)

    def score(self, jobs: Sequence[Job]) -> list[list[float]]:
        """As promised by `Adapter`."""
        del jobs
        return [[gemm_rate(self._left, self._right)]]


def gemm_rate(left: Tensor, right: Tensor) -> float:
    """GFLOP/s of left [rows, in] by the transpose of right [out, in]: the best of a fraction of a second."""
    from torch.nn.functional import linear

    taken: list[float] = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or not taken:
        started = time.perf_counter()
        linear(left, right)
        taken.append(time.perf_counter() - started)
    return 2 * left.shape[0] * right.numel() / min(taken) / 1e9


make = Probe
