"""Thresholds: held against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from nvrerank.show import threshold_sweep

labelled = st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=1, max_size=40).filter(
    lambda pairs: any(hit for _, hit in pairs)
)


def oracle(scores, relevant, threshold):
    kept = [score >= threshold for score in scores]
    figures = precision_recall_fscore_support(relevant, kept, average="binary", zero_division=0)
    return [sum(kept), *figures[:3]]


@settings(deadline=None, max_examples=30)
@given(labelled, st.floats(-6, 6))
def test_every_threshold_keeps_what_scikit_learn_says(pairs, threshold):
    scores, relevant = zip(*pairs, strict=True)
    sweep = threshold_sweep(scores, relevant)
    assert [point.threshold for point in sweep.points] == sorted(set(scores))
    for point in [*sweep.points, sweep.at(threshold)]:
        found = [point.kept, point.precision, point.recall, point.f1]
        assert found == pytest.approx(oracle(scores, relevant, point.threshold))


def test_a_threshold_that_excludes_its_own_score_would_be_another():
    point = threshold_sweep([1, 2, 2, 3], [0, 1, 0, 1]).at(2)
    assert (point.kept, point.precision) == (3, pytest.approx(2 / 3))
    assert point.precision != pytest.approx(oracle([1, 2, 2, 3], [0, 1, 0, 1], 2.5)[1])


@settings(deadline=None, max_examples=30)
@given(labelled)
def test_best_has_the_greatest_f1_and_keeps_least(pairs):
    scores, relevant = zip(*pairs, strict=True)
    best = threshold_sweep(scores, relevant).best
    every = {score: oracle(scores, relevant, score)[3] for score in set(scores)}
    assert best.f1 == pytest.approx(max(every.values()))
    assert best.threshold == max(score for score, f1 in every.items() if f1 > best.f1 - 1e-9)


def test_numpy_arrays_and_grades_are_taken():
    sweep = threshold_sweep(np.array([0.5, 1.5]), np.array([0, 2]))
    assert (sweep.passages, sweep.relevant, sweep.best.threshold) == (2, 1, 1.5)
    assert threshold_sweep([0.5, 1.5], np.array([False, True])) == sweep


@pytest.mark.parametrize(
    ("scores", "relevant", "kind", "reason"),
    [
        ([1.0], [True, False], ValueError, "1 scores, 2 grades"),
        ([], [], ValueError, "no passage is relevant"),
        ([1.0], [False], ValueError, "no passage is relevant"),
        ([float("nan")], [True], ValueError, r"scores\[0\] must be finite"),
        ([None], [True], TypeError, r"scores\[0\] must be a number, not None"),
        ([1.0, 2.0], [True, "no"], TypeError, r"relevant\[1\] must be a number, not 'no'"),
    ],
)
def test_bad_labels_are_named(scores, relevant, kind, reason):
    with pytest.raises(kind, match=reason):
        threshold_sweep(scores, relevant)
