"""Weights in 4 and 8 bits, as the bundled model's file holds them.

The matrix of word embeddings stays as it is and is read row by row (`PackedEmbedding` beside the network);
linear layers are expanded once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BLOCK = 32
"""Numbers that share a scale in 4 bits."""


def pack4(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rounds to 4 bits as llama.cpp's Q4_0 does: in each block the number farthest from 0 becomes -8 steps.

    Returns:
        Two codes a byte, uint8: [rows, size / 2], the first half of a block in the lower bits.
        What a step stands for, float16: [rows, size / BLOCK]
    """
    blocks = rows.float().reshape(len(rows), -1, BLOCK)  # [rows, blocks, BLOCK]
    farthest = blocks.gather(2, blocks.abs().argmax(2, keepdim=True))
    scales = (farthest / -8).half()
    steps = scales.float()
    codes = (blocks / torch.where(steps == 0, 1.0, steps)).round_().clamp_(-8, 7).add_(8).to(torch.uint8)
    low, high = codes.chunk(2, dim=2)
    return (low | high << 4).flatten(1), scales[:, :, 0]


def pack8(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rounds each row to -127..127: int8 codes, [rows, size], and float32 scales, [rows]."""
    scales = rows.float().abs().amax(1).div_(127).clamp_(min=1e-30)
    return (rows.float() / scales[:, None]).round_().to(torch.int8), scales


class PackedLinear(nn.Module):
    """The stored form of a linear layer, which takes its place until `expand`."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.codes = nn.Buffer(torch.zeros_like(linear.weight, dtype=torch.int8))  # [out, in]
        self.scales = nn.Buffer(torch.zeros(linear.out_features, device=linear.weight.device))
        self.bias, self._kind = linear.bias, type(linear)

    def expanded(self) -> nn.Linear:
        """The layer, in its bias's dtype."""
        with torch.device("meta"):
            linear = self._kind(self.codes.shape[1], self.codes.shape[0])
        weight = (self.codes * self.scales[:, None]).to(self.bias.dtype)
        linear.load_state_dict({"weight": weight, "bias": self.bias}, assign=True)
        return linear.requires_grad_(requires_grad=False)


def in_stored_form(model: nn.Module) -> None:
    """Puts the stored form in the place of each linear layer below `model.layers`."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear) and name.startswith("layers."):
            model.set_submodule(name, PackedLinear(layer))


def stored(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a model, with whole numbers for those that its stored form has so."""
    packed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        owner, _, kind = name.rpartition(".")
        if kind == "weight" and (owner == "words" or (owner.startswith("layers.") and tensor.ndim > 1)):
            codes, scales = pack4(tensor) if owner == "words" else pack8(tensor)
            packed |= {f"{owner}.codes": codes, f"{owner}.scales": scales}
        else:
            packed[name] = tensor
    return packed


def expand(model: nn.Module) -> None:
    """Makes the linear layers of a model that was loaded in its stored form, in the dtype of their biases."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, PackedLinear):
            model.set_submodule(name, layer.expanded())
