"""Linear layers in 8-bit integers, for a CPU that multiplies those faster (AVX-512 VNNI and its like).

A weight is rounded once, with a scale for each output; an input as it comes, with a scale for each token, so
that a score still depends on its own pair alone. The product is exact in 32-bit integers. Rounding is
symmetric, to -127..127 (https://arxiv.org/abs/2004.09602, section 3.1.2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nvrerank.errors import ModelLoadError

_LARGEST = 127


class Int8Linear(nn.Module):
    """A linear layer whose weight is stored and multiplied as int8.

    Args:
        linear: The layer it stands for; float32.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        scale = _scale(linear.weight)  # [out, 1]
        self.weight = nn.Buffer(_rounded(linear.weight, scale).T.contiguous())  # [in, out]
        self.scale = nn.Buffer(scale[:, 0])  # [out]
        self.bias: Tensor | None = linear.bias

    def forward(self, rows: Tensor) -> Tensor:
        """[..., in] -> [..., out], float32."""
        flat = rows.flatten(0, -2)  # [rows, in]
        scale = _scale(flat)  # [rows, 1]
        product = torch._int_mm(_rounded(flat, scale), self.weight)  # noqa: SLF001  # torch has no other
        out = product.float().mul_(scale).mul_(self.scale)
        if self.bias is not None:
            out.add_(self.bias)
        return out.reshape(*rows.shape[:-1], -1)


def quantize(module: nn.Module, body: str) -> None:
    """Puts an `Int8Linear` in the place of each linear layer below `body`; heads and embeddings stay.

    Args:
        module: A loaded model, float32, on the CPU.
        body: What the names of the layers begin with.

    Raises:
        ModelLoadError: This machine's integer product is not exact.
    """
    if not _product_is_exact():
        raise ModelLoadError(
            "quantize='int8': torch's 8-bit product saturates on this CPU, scores would be wrong: "
            "leave quantize out"
        )
    names = [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    for name in names:
        if name.startswith(body):
            module.set_submodule(name, Int8Linear(module.get_submodule(name)))  # type: ignore[arg-type]


def _scale(rows: Tensor) -> Tensor:
    """What one step of the integers stands for in each row: [rows, 1]."""
    largest = torch.maximum(rows.amax(1, keepdim=True), rows.amin(1, keepdim=True).neg_())
    return largest.div_(_LARGEST).clamp_(min=1e-30)  # its reciprocal stays finite


def _rounded(rows: Tensor, scale: Tensor) -> Tensor:
    return (rows * scale.reciprocal()).round_().to(torch.int8)


def _product_is_exact() -> bool:
    """Without VNNI some kernels add pairs of products in 16 bits, which is too few for the largest."""
    full = torch.full((32, 64), _LARGEST, dtype=torch.int8)
    return bool((torch._int_mm(full, full.T.contiguous()) == 64 * _LARGEST**2).all())  # noqa: SLF001
