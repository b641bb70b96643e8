"""Ratios and agreement: small cases by hand."""

from __future__ import annotations

import math

import pytest

from bench.local.agreement import Spread, agreement, paired_ratios, top_overlap


def test_a_correlation_notices_one_exchange():
    assert agreement([[1, 2, 3, 4]], [[1, 2, 3, 4]]).spearman == pytest.approx(1)
    exchanged = agreement([[1, 2, 4, 3]], [[1, 2, 3, 4]])
    assert (exchanged.spearman, exchanged.kendall) == pytest.approx((0.8, 2 / 3))
    assert agreement([[4, 3, 2, 1]], [[1, 2, 3, 4]]).kendall == pytest.approx(-1)


def test_scores_that_are_all_equal_have_no_correlation():
    found = agreement([[1.0, 1.0]], [[1.0, 2.0]])
    assert math.isnan(found.spearman)
    assert math.isnan(found.kendall)


def test_ratios_pair_the_rounds_so_that_a_drifting_machine_moves_both():
    ours, theirs = [1.0, 2.0, 4.0], [2.0, 4.0, 8.0]
    assert paired_ratios(theirs, ours) == [2, 2, 2]
    assert Spread.of([3.0, 1.0, 2.0, 9.0]) == Spread(2.5, 1.0, 9.0)


def test_ratios_refuse_rounds_that_do_not_pair():
    with pytest.raises(ValueError, match="zip"):
        paired_ratios([1.0], [1.0, 2.0])


def test_the_first_ten_overlap_by_what_both_have():
    reference = [float(-place) for place in range(20)]
    assert top_overlap(reference, reference) == 1
    exchanged = [*reference]
    exchanged[9], exchanged[10] = exchanged[10], exchanged[9]
    assert top_overlap(exchanged, reference) == 0.9
    assert top_overlap([1.0, 2.0], [2.0, 1.0]) == 1  # fewer than ten: all of them


def test_agreement_takes_the_worst_query():
    found = agreement([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], [[1.0, 2.0, 3.0], [1.0, 2.0, 3.5]])
    assert found.deviation == 2.5
    assert found.spearman == found.kendall == pytest.approx(-1)
    assert found.spread == pytest.approx(
        math.sqrt(sum((x - 12.5 / 6) ** 2 for x in (1, 2, 3, 1, 2, 3.5)) / 6)
    )
