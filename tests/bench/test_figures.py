"""Ratios and agreement: against scipy where it has the same, against small cases by hand where not."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats

from bench.local.figures import Spread, agreement, kendall, paired_ratios, ranks, spearman, top_overlap


def tied_and_untied():
    chance = random.Random(3)
    for size in (2, 5, 40):
        for values in (range(3), range(1000)):
            one = [float(chance.choice(values)) for _ in range(size)]
            other = [value + chance.choice(values) for value in one]
            if len(set(one)) > 1 and len(set(other)) > 1:
                yield one, other


@pytest.mark.parametrize(("one", "other"), list(tied_and_untied()))
def test_rank_correlations_equal_scipys_with_ties_and_without(one, other):
    assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
    assert kendall(one, other) == pytest.approx(stats.kendalltau(one, other).statistic)
    assert ranks(one) == list(stats.rankdata(one))


def test_a_correlation_notices_one_exchange():
    assert spearman([1, 2, 3, 4], [1, 2, 3, 4]) == 1
    assert spearman([1, 2, 3, 4], [1, 2, 4, 3]) < 1
    assert kendall([1, 2, 3, 4], [4, 3, 2, 1]) == -1


def test_scores_that_are_all_equal_have_no_correlation():
    assert math.isnan(spearman([1, 1], [1, 2]))
    assert math.isnan(kendall([1, 1], [1, 2]))


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
    assert found.spearman == found.kendall == -1
    assert found.spread == pytest.approx(
        math.sqrt(sum((x - 12.5 / 6) ** 2 for x in (1, 2, 3, 1, 2, 3.5)) / 6)
    )
