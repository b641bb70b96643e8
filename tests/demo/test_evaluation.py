from math import log2

import pytest

from demo.evaluation import evaluate

RIGHT = frozenset({"a", "b"})


def test_the_measures_are_those_of_a_hand_calculation():
    orders = [["x", "a", "y", "b"], ["a", "b"], ["x", "y", "z"]]
    figures = evaluate(orders, [RIGHT, RIGHT, RIGHT])
    first = (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3))
    assert figures.ndcg == pytest.approx([first, 1.0, 0.0])
    assert figures.first == [2, 1, 0]
    assert figures.mean == pytest.approx({"R@1": 1 / 3, "Recall@5": 2 / 3, "nDCG@10": (first + 1) / 3})


def test_further_passages_of_a_topic_take_up_no_place():
    crowded = ["x", "x", "x", "x", "x", "a", "a", "b"]
    assert evaluate([crowded], [RIGHT]).mean == evaluate([["x", "a", "b"]], [RIGHT]).mean


def test_recall_counts_the_first_five_topics():
    assert evaluate([["v", "w", "x", "y", "a", "b"]], [RIGHT]).mean["Recall@5"] == 0.5


def test_an_order_without_passages_is_a_miss():
    assert evaluate([[], ["a"]], [RIGHT, RIGHT]).ndcg == pytest.approx([0.0, 1 / (1 + 1 / log2(3))])


def test_a_gain_has_an_interval_around_it_and_counts_the_questions_that_moved():
    before = evaluate([["x", "a"], ["a"], ["a", "b"], ["x"]], [RIGHT] * 4)
    after = evaluate([["a", "x"], ["a", "b"], ["x", "a", "b"], ["x"]], [RIGHT] * 4)
    gain = after.gain_over(before)
    assert (gain.better, gain.worse) == (2, 1)
    assert gain.low < gain.mean < gain.high
    assert gain.mean == pytest.approx(after.mean["nDCG@10"] - before.mean["nDCG@10"])
