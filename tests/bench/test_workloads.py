"""What is scored."""

from __future__ import annotations

import pytest

from bench.local.workloads import workloads


def test_workloads_have_the_counts_that_they_are_named_for():
    counts = {name: [len(texts) for _query, texts in one.groups] for name, one in workloads().items()}
    assert counts["minilm-1x100"] == [100]
    assert counts["minilm-1x24"] == [24]
    assert counts["minilm-10x40"] == [40] * 10
    assert counts["llama-long"] == [5]
    for one in workloads().values():
        assert one.tuned_as in workloads()
        for _query, texts in one.groups:
            assert len(set(texts)) == len(texts)
            assert all(text.strip() for text in texts)


def test_best_settings_are_looked_for_on_a_part_that_is_like_the_whole():
    many, few = workloads()["minilm-1x100"], workloads()["minilm-1x24"]
    assert few.tuning_part is few
    [(query, some)], [(asked, texts)] = many.tuning_part.groups, many.groups
    assert (query, len(some)) == (asked, 25)
    assert set(some) < set(texts)
    assert sum(map(len, some)) / 25 == pytest.approx(sum(map(len, texts)) / 100, rel=0.05)
    assert many.tuning_part.name != many.name
