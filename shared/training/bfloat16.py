"""Multiplying in bfloat16 where the CPU has units for it. Weights stay in float32."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from nvrerank.local.bundled_model import TwoSegmentEncoder


def in_bfloat16(model: TwoSegmentEncoder) -> None:
    """Multiply the layers' matrices in bfloat16, all else in float32: twice as fast where the CPU can."""
    for module in model.layers.modules():
        if isinstance(module, nn.Linear):
            module.forward = partial(_forward, module)  # type: ignore[method-assign]  # the tensors keep their names


def _forward(linear: nn.Linear, x: Tensor) -> Tensor:
    return F.linear(x.bfloat16(), linear.weight.bfloat16(), linear.bias.bfloat16()).float()
