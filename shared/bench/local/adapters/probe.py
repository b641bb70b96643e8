"""How fast this machine multiplies matrices now: float32, the shape of a model's widest linear layer."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.local.adapters.base import Adapter, Job, Setup

ROWS = 1024
SECONDS = 0.3


class Probe(Adapter):
    """Its only score is GFLOP/s, the best of as many multiplications as fit into a fraction of a second."""

    packages = ("torch",)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        import torch

        torch.set_num_threads(2)
        hidden, wide = setup.options["hidden"], setup.options["intermediate"]
        self._left, self._right = torch.randn(ROWS, hidden), torch.randn(wide, hidden)
        self._flops = 2 * ROWS * hidden * wide

    def score(self, jobs: Sequence[Job]) -> list[list[float]]:
        """As promised by `Adapter`."""
        del jobs
        import torch

        seconds: list[float] = []
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end or not seconds:
            started = time.perf_counter()
            torch.nn.functional.linear(self._left, self._right)
            seconds.append(time.perf_counter() - started)
        return [[self._flops / min(seconds) / 1e9]]


make = Probe
