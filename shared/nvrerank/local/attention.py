"""Attention over packed sequences: each token sees its own sequence and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.varlen import varlen_attn

# Up to so many tokens a CPU is faster with the whole matrix of scores than with the fused kernel's blocks.
_SHORT = 192


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
    ):
        target.transpose(0, 1).copy_(kernel(_heads_first(q), _heads_first(k), _heads_first(v)))
    return mixed.flatten(1)


def attend_varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    *,
    asking: Packing | None = None,
    kernel: Callable[..., Tensor | tuple[Tensor, ...]] | None = None,
) -> Tensor:
    """As `attend`, in one kernel: CUDA, half precision.

    Args:
        query: [rows, heads, size]
        key: [tokens, key heads, size]
        value: [tokens, key heads, size]
        packing: Where the sequences lie.
        asking: Where each sequence's rows of `query` lie; None: as `packing`.
        kernel: What to call in place of `torch.nn.attention.varlen.varlen_attn`; same signature.
    """
    rows = asking or packing
    mixed = (kernel or varlen_attn)(
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


def _sdpa(query: Tensor, key: Tensor, value: Tensor, *, causal: bool, grouped: bool) -> Tensor:
    return functional.scaled_dot_product_attention(
        query[None], key[None], value[None], is_causal=causal, enable_gqa=grouped
    )[0]


def _plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    if query.device.type != "cpu" or query.dtype != torch.float32 or key.shape[1] > _SHORT:
        return _sdpa(query, key, value, causal=False, grouped=False)
    nothing = query.new_zeros(1)
    logits = torch.baddbmm(nothing, query, key.transpose(1, 2), beta=0, alpha=query.shape[2] ** -0.5)
    return torch.bmm(torch.softmax(logits, -1), value)


def _heads_first(rows: Tensor) -> Tensor:
    return rows.transpose(0, 1)  # [heads, length, size]
