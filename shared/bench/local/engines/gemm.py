"""How fast this machine multiplies matrices now, in the shape of a model's widest linear layer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from bench.local.engines.base import Engine, Setup
from bench.local.peers import PRECISIONS
from bench.local.workloads import QueryGroup

_ROWS = 1024
_SECONDS = 0.3


class Gemm(Engine):
    """Its scores are GFLOP/s, one for each precision."""

    packages = ("torch",)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        torch.set_num_threads(2)

    def score(self, groups: Sequence[QueryGroup]) -> list[list[float]]:
        del groups
        return [[gemm_rate(precision, **self.setup.options) for precision in PRECISIONS]]


def gemm_rate(precision: str, *, hidden: int, intermediate: int) -> float:
    """GFLOP/s of [1024, hidden] by [hidden, intermediate]: the best of a fraction of a second."""
    multiply = _product(precision, hidden, intermediate)
    taken: list[float] = []
    end = time.perf_counter() + _SECONDS
    while time.perf_counter() < end or not taken:
        started = time.perf_counter()
        multiply()
        taken.append(time.perf_counter() - started)
    return 2 * _ROWS * hidden * intermediate / min(taken) / 1e9


def _product(precision: str, hidden: int, intermediate: int) -> Callable[[], torch.Tensor]:
    if precision == "int8":
        left = torch.randint(-127, 128, (_ROWS, hidden), dtype=torch.int8)
        right = torch.randint(-127, 128, (intermediate, hidden), dtype=torch.int8)
        return lambda: torch._int_mm(left, right.T)  # noqa: SLF001 # torch's only product of int8 matrices
    dtype = getattr(torch, precision)
    inputs, weights = torch.randn(_ROWS, hidden, dtype=dtype), torch.randn(intermediate, hidden, dtype=dtype)
    return lambda: torch.nn.functional.linear(inputs, weights)
