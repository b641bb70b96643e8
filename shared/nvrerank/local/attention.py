"""Attention over packed sequences: each token sees its own sequence and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.varlen import varlen_attn


@dataclass(frozen=True)
class Packing:
    """Where the sequences of a batch lie, end to end.

    Attributes:
        lengths: Tokens of each sequence.
        device: Where the batch lives.
    """

    lengths: Sequence[int]
    device: torch.device

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

    def means(self, hidden: Tensor) -> Tensor:
        """The mean over each sequence's tokens, in float32: [tokens, hidden] -> [sequences, hidden]."""
        return torch.stack([rows.float().mean(0) for rows in torch.split(hidden, list(self.lengths))])


def attend(query: Tensor, key: Tensor, value: Tensor, packing: Packing) -> Tensor:
    """Scaled dot-product attention in both directions, within each sequence.

    Args:
        query: [tokens, heads, size]
        key: [tokens, key heads, size]; fewer heads than the query's are shared by groups.
        value: [tokens, key heads, size]
        packing: Where the sequences lie.

    Returns:
        [tokens, heads * size]
    """
    if query.is_cuda and query.dtype in (torch.float16, torch.bfloat16):
        return attend_varlen(query, key, value, packing)
    return attend_in_turn(query, key, value, packing)


def attend_in_turn(query: Tensor, key: Tensor, value: Tensor, packing: Packing) -> Tensor:
    """As `attend`, one sequence after the other: any device, any dtype."""
    grouped = query.shape[1] != key.shape[1]
    lengths = list(packing.lengths)
    mixed = [
        functional.scaled_dot_product_attention(
            _heads_first(q), _heads_first(k), _heads_first(v), enable_gqa=grouped
        )  # [1, heads, length, size]
        for q, k, v in zip(*(torch.split(rows, lengths) for rows in (query, key, value)), strict=True)
    ]
    return torch.cat(mixed, dim=2)[0].transpose(0, 1).flatten(1)


def attend_varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    *,
    kernel: Callable[..., Tensor | tuple[Tensor, ...]] | None = None,
) -> Tensor:
    """As `attend`, in one kernel: CUDA, half precision.

    Args:
        query: [tokens, heads, size]
        key: [tokens, key heads, size]
        value: [tokens, key heads, size]
        packing: Where the sequences lie.
        kernel: What to call in place of `torch.nn.attention.varlen.varlen_attn`; same signature.
    """
    longest = max(packing.lengths)
    mixed = (kernel or varlen_attn)(
        query,
        key,
        value,
        packing.starts,
        packing.starts,
        longest,
        longest,
        enable_gqa=query.shape[1] != key.shape[1],
    )  # [tokens, heads, size]
    return cast("Tensor", mixed).flatten(1)


def _heads_first(rows: Tensor) -> Tensor:
    return rows.transpose(0, 1)[None]  # [1, heads, length, size]
