"""Packed attention sees its own sequence only, by whichever kernel."""

from __future__ import annotations

import inspect
from functools import wraps
from itertools import pairwise

import pytest
import torch
from torch.nn.attention.varlen import varlen_attn

from nvrerank.local.layers import Packing, attend, attend_in_turn, attend_varlen

LENGTHS = [5, 1, 9, 3]
PACKING = Packing(LENGTHS, torch.device("cpu"))


def rows(heads: int, seed: int) -> torch.Tensor:
    return torch.randn(sum(LENGTHS), heads, 8, generator=torch.Generator().manual_seed(seed))


def block_mask() -> torch.Tensor:
    """The oracle's way: one large attention with everything but the blocks masked out."""
    owner = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    return owner[:, None] == owner[None, :]


def masked(query, key, value) -> torch.Tensor:
    group = query.shape[1] // key.shape[1]
    key, value = (one.repeat_interleave(group, dim=1) for one in (key, value))
    logits = torch.einsum("qhd,khd->hqk", query, key).double() / 8**0.5
    weights = logits.masked_fill(~block_mask(), -torch.inf).softmax(-1)
    return torch.einsum("hqk,khd->qhd", weights, value.double()).flatten(1)


def kernel_of_the_same_signature(calls):
    """Stands in for the CUDA kernel: takes exactly its arguments, computes each span by itself."""
    signature = inspect.signature(varlen_attn)

    @wraps(varlen_attn)
    def kernel(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        calls.append(given := bound.arguments)
        assert given["window_size"] == (-1, -1), "attention goes both ways"
        assert given["max_q"] == given["max_k"] == max(LENGTHS)
        assert given["cu_seq_q"].dtype == torch.int32
        out = torch.empty_like(given["query"])
        starts = given["cu_seq_q"].tolist()
        for start, end in pairwise(starts):
            q, k, v = (given[name][start:end].transpose(0, 1) for name in ("query", "key", "value"))
            mixed = torch.nn.functional.scaled_dot_product_attention(
                q[None], k[None], v[None], enable_gqa=given["enable_gqa"]
            )
            out[start:end] = mixed[0].transpose(0, 1)
        return out

    return kernel


@pytest.mark.parametrize("key_heads", [4, 2])
def test_attention_in_turn_equals_one_large_masked_attention(key_heads):
    query, key, value = rows(4, 0), rows(key_heads, 1), rows(key_heads, 2)
    mixed = attend_in_turn(query, key, value, PACKING)
    assert mixed.shape == (sum(LENGTHS), 4 * 8)
    torch.testing.assert_close(mixed.double(), masked(query, key, value), atol=1e-5, rtol=0)


@pytest.mark.parametrize("key_heads", [4, 2])
def test_the_cuda_path_gives_the_kernel_its_arguments_and_equals_the_cpu_path(key_heads):
    query, key, value = rows(4, 0), rows(key_heads, 1), rows(key_heads, 2)
    calls = []
    mixed = attend_varlen(query, key, value, PACKING, kernel=kernel_of_the_same_signature(calls))
    assert len(calls) == 1
    torch.testing.assert_close(mixed, attend(query, key, value, PACKING))


def test_before_torch_2_12_the_kernel_is_not_told_that_heads_are_shared():
    query, key, value = rows(4, 0), rows(2, 1), rows(2, 2)

    def kernel(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale=None, window_size=(-1, -1)):
        return attend_in_turn(query, key, value, PACKING).unflatten(1, (4, 8))

    found = attend_varlen(query, key, value, PACKING, kernel=kernel)
    assert torch.equal(found, attend(query, key, value, PACKING))


def test_a_packing_knows_places_starts_and_means():
    assert PACKING.positions.tolist() == [*range(5), 0, *range(9), *range(3)]
    assert PACKING.starts.tolist() == [0, 5, 6, 15, 18]
    assert PACKING.first_tokens.tolist() == [0, 5, 6, 15]
    hidden = torch.arange(18.0)[:, None]
    assert PACKING.means(hidden)[:, 0].tolist() == [2.0, 5.0, 10.0, 16.0]


@pytest.mark.parametrize("key_heads", [4, 2])
def test_rows_that_fill_a_batch_up_have_no_say(key_heads):
    filled = Packing(LENGTHS, torch.device("cpu"), fill=16)
    nothing = torch.full((14, 4, 8), torch.nan)
    given = [rows(4, 0), rows(key_heads, 1), rows(key_heads, 2)]
    more = [torch.cat((one, nothing[:, : one.shape[1]])) for one in given]
    mixed = attend_in_turn(*more, filled)
    assert torch.equal(mixed[:18], attend_in_turn(*given, PACKING))
    assert len(mixed) == len(filled.positions) == 32
    first = attend_in_turn(more[0][filled.first_tokens], *more[1:], filled, asking=filled.firsts)
    torch.testing.assert_close(first[:4], mixed[PACKING.first_tokens])
    assert len(first) == 16
    hidden = torch.cat((torch.arange(18.0), nothing[:, 0, 0]))[:, None]
    assert torch.equal(filled.means(hidden), PACKING.means(torch.arange(18.0)[:, None]))
