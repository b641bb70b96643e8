"""Linear layers in 8-bit integers, for a CPU that multiplies those faster (AVX-512 VNNI and its like).

A weight is rounded once, with a scale for each output; an input as it comes, with a scale for each token, so
that a score still depends on its own pair alone. The product is exact in 32-bit integers. Rounding is
symmetric, to -127..127 (https://arxiv.org/abs/2004.09602, section 3.1.2).

Where a CPU has no such product, the same integers are multiplied as float32: nothing is faster then, but
scores are the same and weights still take a quarter of the memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

_LARGEST = 127
Product = Callable[[Tensor, Tensor], Tensor]


class Int8Linear(nn.Module):
    """A linear layer whose weight is stored and multiplied as int8.

    Args:
        linear: The layer it stands for; float32.
        product: Multiplies int8 matrices, [rows, in] by [in, out], to int32 or float32.
    """

    def __init__(self, linear: nn.Linear, product: Product) -> None:
        super().__init__()
        self._product = product
        scale = _scale(linear.weight)  # [out, 1]
        self.weight = nn.Buffer(_rounded(linear.weight, scale).T.contiguous())  # [in, out]
        self.scale = nn.Buffer(scale[:, 0])  # [out]
        self.bias: Tensor | None = linear.bias

    def forward(self, rows: Tensor) -> Tensor:
        """[..., in] -> [..., out], float32."""
        flat = rows.flatten(0, -2)  # [rows, in]
        scale = _scale(flat)  # [rows, 1]
        out = self._product(_rounded(flat, scale), self.weight).float().mul_(scale).mul_(self.scale)
        if self.bias is not None:
            out.add_(self.bias)
        return out.reshape(*rows.shape[:-1], -1)


def quantize(module: nn.Module, body: str) -> int:
    """Puts an `Int8Linear` in the place of each linear layer below `body`; poolers and heads stay.

    Warns where this machine multiplies integers no faster than floats.

    Args:
        module: A loaded model, float32, on the CPU.
        body: What the names of the layers begin with.

    Returns:
        How many there were.
    """
    product = by_integers if integers_pay() else by_floats
    if product is by_floats:
        warnings.warn(
            "quantize='int8' saves memory but no time on this CPU, which has no instructions for 8-bit "
            "products (AVX-512 VNNI): leave it out to score faster",
            stacklevel=2,
        )
    names = [
        name
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and name.startswith(body) and "pooler" not in name
    ]
    for name in names:
        module.set_submodule(name, Int8Linear(module.get_submodule(name), product))  # type: ignore[arg-type]
    return len(names)


def by_integers(rows: Tensor, weight: Tensor) -> Tensor:
    """The product in the CPU's own 8-bit instructions: int32, exact."""
    return torch._int_mm(rows, weight)  # noqa: SLF001  # torch has no other


def by_floats(rows: Tensor, weight: Tensor) -> Tensor:
    """The same integers' product as float32: exact up to 1,040 inputs, beyond that rounded as any."""
    return rows.float() @ weight.float()


@cache
def integers_pay() -> bool:
    """Whether torch multiplies 8-bit integers with instructions for them, and exactly.

    Without VNNI it takes a loop, which is 40 times slower than float32. Kernels that add pairs of products in
    16 bits have too few for the largest.
    """
    if not torch.cpu.get_capabilities().get("avx512_vnni", False):
        return False
    full = torch.full((32, 64), _LARGEST, dtype=torch.int8)
    return bool((by_integers(full, full.T.contiguous()) == 64 * _LARGEST**2).all())


def _scale(rows: Tensor) -> Tensor:
    """What one step of the integers stands for in each row: [rows, 1]."""
    largest = torch.maximum(rows.amax(1, keepdim=True), rows.amin(1, keepdim=True).neg_())
    return largest.div_(_LARGEST).clamp_(min=1e-30)  # its reciprocal stays finite


def _rounded(rows: Tensor, scale: Tensor) -> Tensor:
    return (rows * scale.reciprocal()).round_().to(torch.int8)
