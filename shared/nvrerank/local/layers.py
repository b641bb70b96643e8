"""What our models are built of: attention over packed sequences, and linear layers in 8-bit integers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.varlen import varlen_attn

from .tokenization import PairEncoder, TokenPair

# Up to so many tokens a CPU is faster with the whole matrix of scores than with the fused kernel's blocks.
_SHORT = 192
_LARGEST = 127

Product = Callable[[Tensor, Tensor], Tensor]


class Reranker(nn.Module):
    """What families compute with.

    Attributes:
        context: Tokens that it has positions for.
    """

    context: int

    def logits(self, batch: Sequence[TokenPair]) -> Tensor:
        """Token ids of a batch to raw logits, float32: [pairs]."""
        raise NotImplementedError

    def expand(self) -> None:
        """Makes of weights that were just loaded in a packed form what is computed with."""


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to score.

    Attributes:
        encoder: Texts to token ids.
        context: Tokens of query and passage together that it reads.
        forward: Token ids of a batch to raw logits, float32: [pairs]
        listwise: Whether `forward` takes a query's whole list, and no part of it.
    """

    encoder: PairEncoder
    context: int
    forward: Callable[[Sequence[TokenPair]], Tensor]
    listwise: bool = False


@dataclass(frozen=True)
class Packing:
    """Where the sequences of a batch lie, end to end.

    Attributes:
        lengths: Tokens of each sequence.
        device: Where the batch lives.
        causal: Whether a token sees those before it alone, and not all of its sequence.
    """

    lengths: Sequence[int]
    device: torch.device
    causal: bool = False

    @cached_property
    def positions(self) -> Tensor:
        """Each token's place in its own sequence, from 0: [tokens]."""
        return torch.cat([torch.arange(length) for length in self.lengths]).to(self.device)

    @cached_property
    def starts(self) -> Tensor:
        """Where each sequence begins, and the end of the last: [sequences + 1], int32."""
        return torch.tensor([0, *accumulate(self.lengths)], dtype=torch.int32, device=self.device)

    @cached_property
    def first_tokens(self) -> Tensor:
        """The place of each sequence's first token: [sequences]."""
        return self.starts[:-1].long()

    @cached_property
    def firsts(self) -> Packing:
        """Where the first tokens lie when they are taken out: one row a sequence."""
        return Packing([1] * len(self.lengths), self.device)

    def means(self, hidden: Tensor) -> Tensor:
        """The mean over each sequence's tokens, in float32: [tokens, hidden] -> [sequences, hidden]."""
        return torch.stack([rows.float().mean(0) for rows in torch.split(hidden, list(self.lengths))])


def pack(batch: Sequence[TokenPair], device: torch.device, *, causal: bool = False) -> tuple[Tensor, Packing]:
    """Token ids end to end, [tokens], and where each pair's lie."""
    ids = torch.tensor([token for pair in batch for token in pair.ids], device=device)
    return ids, Packing([len(pair.ids) for pair in batch], device, causal)


def attend(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, *, asking: Packing | None = None
) -> Tensor:
    """Scaled dot-product attention within each sequence.

    Args:
        query: [rows, heads, size]
        key: [tokens, key heads, size]; fewer heads than the query's are shared by groups.
        value: [tokens, key heads, size]
        packing: Where the sequences lie.
        asking: Where each sequence's rows of `query` lie; None: as `packing`, a row for each token.

    Returns:
        [rows, heads * size]
    """
    if query.is_cuda and query.dtype in (torch.float16, torch.bfloat16):
        return attend_varlen(query, key, value, packing, asking=asking)
    return attend_in_turn(query, key, value, packing, asking=asking)


def attend_in_turn(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, *, asking: Packing | None = None
) -> Tensor:
    """As `attend`, one sequence after the other: any device, any dtype."""
    grouped, causal = query.shape[1] != key.shape[1], packing.causal
    kernel = partial(_sdpa, causal=causal, grouped=grouped) if grouped or causal else _plain
    lengths, rows = list(packing.lengths), list((asking or packing).lengths)
    mixed = query.new_empty(query.shape)  # [rows, heads, size]
    for target, q, k, v in zip(
        *(torch.split(one, rows) for one in (mixed, query)),
        *(torch.split(one, lengths) for one in (key, value)),
        strict=True,
    ):  # the kernels take [heads, length, size]
        target.transpose(0, 1).copy_(kernel(q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)))
    return mixed.flatten(1)


def attend_varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    *,
    asking: Packing | None = None,
    kernel: Callable[..., Tensor | tuple[Tensor, ...]] = varlen_attn,
) -> Tensor:
    """As `attend`, in one kernel: CUDA, half precision. `kernel` may be another of the same signature."""
    rows = asking or packing
    mixed = kernel(
        query,
        key,
        value,
        rows.starts,
        packing.starts,
        max(rows.lengths),
        max(packing.lengths),
        enable_gqa=query.shape[1] != key.shape[1],
        window_size=(-1, 0 if packing.causal else -1),  # to the left all, to the right none or all
    )  # [rows, heads, size]
    return cast("Tensor", mixed).flatten(1)


def _sdpa(
    query: Tensor, key: Tensor, value: Tensor, *, causal: bool = False, grouped: bool = False
) -> Tensor:
    return functional.scaled_dot_product_attention(
        query[None], key[None], value[None], is_causal=causal, enable_gqa=grouped
    )[0]


def _plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    if query.device.type != "cpu" or query.dtype != torch.float32 or key.shape[1] > _SHORT:
        return _sdpa(query, key, value)
    nothing = query.new_zeros(1)
    logits = torch.baddbmm(nothing, query, key.transpose(1, 2), beta=0, alpha=query.shape[2] ** -0.5)
    return torch.bmm(torch.softmax(logits, -1), value)


class Int8Linear(nn.Module):
    """A linear layer whose weight is stored and multiplied as int8.

    A weight is rounded once, with a scale for each output; an input as it comes, with a scale for each token,
    so that a score still depends on its own pair alone. The product is exact in 32-bit integers. Rounding is
    symmetric, to -127..127 (https://arxiv.org/abs/2004.09602, section 3.1.2).

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

    Warns where this machine multiplies integers no faster than floats. There the same integers are multiplied
    as float32: scores are the same, and weights still take a quarter of the memory.

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
    found = [
        (name, layer)
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and name.startswith(body) and "pooler" not in name
    ]
    for name, layer in found:
        module.set_submodule(name, Int8Linear(layer, product))
    return len(found)


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
