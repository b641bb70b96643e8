"""Operations and texts of a pair."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.local.shapes import SHAPES, linear_flops
from bench.local.workloads import workloads


def test_minilms_operations_equal_a_count_by_hand():
    # four matrices of 384 x 384 and two of 384 x 1536, six times, 2 operations a weight, 10 + 5 tokens
    assert linear_flops(SHAPES["minilm"], [10, 5]) == 2 * 15 * 6 * (4 * 384 * 384 + 2 * 384 * 1536)


def test_llamas_operations_equal_a_count_by_hand():
    # query and output 2048 x 2048, key and value 512 x 2048, three of 2048 x 8192
    one_layer = 2 * 2048 * 2048 + 2 * 512 * 2048 + 3 * 2048 * 8192
    assert linear_flops(SHAPES["llama"].of_depth(16), [7]) == 2 * 7 * 16 * one_layer


@pytest.mark.parametrize("name", ["llama", "mistral"])
def test_a_decoders_operations_equal_what_torch_counts(name):
    shape = SHAPES[name]
    with torch.device("meta"), FlopCounterMode(display=False) as counted:
        for size in shape.decoder_linears().values():
            torch.nn.functional.linear(torch.empty(3, size[1]), torch.empty(*size))
    assert linear_flops(shape, [3]) == counted.get_total_flops() * shape.layers


def test_depth_is_a_decoders_to_choose():
    assert SHAPES["llama"].of_depth(16).layers == 16
    assert SHAPES["llama"].of_depth(None).layers == 1
    assert SHAPES["minilm"].of_depth(16).layers == 6


def test_a_pair_laid_end_to_end_is_nvidias_prompt():
    from nvrerank.models import NVIDIA_PROMPT

    for name, space in (("llama", ""), ("mistral", " ")):
        first, second = SHAPES[name].pair("who?", "me")
        assert first + second == space + NVIDIA_PROMPT.format(query="who?", passage="me")


def test_workloads_have_the_counts_that_they_are_named_for():
    counts = {name: [len(texts) for _query, texts in one.jobs] for name, one in workloads().items()}
    assert counts["minilm-1x100"] == [100]
    assert counts["minilm-1x24"] == [24]
    assert counts["minilm-10x40"] == [40] * 10
    assert counts["llama-long"] == [5]
    for one in workloads().values():
        assert one.tuned_as in workloads()
        for _query, texts in one.jobs:
            assert len(set(texts)) == len(texts)
            assert all(text.strip() for text in texts)


def test_best_settings_are_looked_for_on_a_part_that_is_like_the_whole():
    many, few = workloads()["minilm-1x100"], workloads()["minilm-1x24"]
    assert few.rehearsal is few
    [(query, some)], [(asked, texts)] = many.rehearsal.jobs, many.jobs
    assert (query, len(some)) == (asked, 25)
    assert set(some) < set(texts)
    assert sum(map(len, some)) / 25 == pytest.approx(sum(map(len, texts)) / 100, rel=0.05)
    assert many.rehearsal.name != many.name
