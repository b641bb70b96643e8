"""Plans cover every position once and stay within their bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvrerank.batches import by_bytes, by_count, put_back

SIZES = st.lists(st.integers(0, 100), max_size=60)


def flat(plan: list[list[int]]) -> list[int]:
    return [position for batch in plan for position in batch]


def test_by_count_cuts_in_order():
    assert by_count(7, 3) == [[0, 1, 2], [3, 4, 5], [6]]
    assert by_count(0, 3) == []


def test_by_bytes_fills_in_order_up_to_both_bounds():
    assert by_bytes([4, 4, 4, 1, 1, 1], 8, at_most=3) == [[0, 1], [2, 3, 4], [5]]


def test_by_bytes_gives_an_oversized_item_a_batch_of_its_own():
    assert by_bytes([1, 99, 1], 10, at_most=5) == [[0], [1], [2]]


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_of_nothing_is_refused(size):
    with pytest.raises(ValueError, match="at least 1"):
        by_count(3, size)
    with pytest.raises(ValueError, match="at least 1"):
        by_bytes([1], 10, at_most=size)


@given(SIZES, st.integers(1, 200), st.integers(1, 10))
def test_every_plan_covers_each_position_once_within_its_bounds(sizes, budget, at_most):
    plans = [by_bytes(sizes, budget, at_most=at_most), by_count(len(sizes), at_most)]
    for plan in plans:
        assert flat(plan) == list(range(len(sizes)))
        assert all(plan)
        assert all(len(batch) <= at_most for batch in plan)
    for batch in plans[0]:
        assert sum(sizes[position] for position in batch) <= budget or len(batch) == 1


@given(SIZES, st.integers(1, 200))
def test_scores_come_back_in_input_order(sizes, budget):
    plan = by_bytes(sizes, budget, at_most=9)[::-1]
    answers = [[float(position) for position in batch] for batch in plan]
    assert put_back(plan, answers, len(sizes)) == [float(position) for position in range(len(sizes))]


@pytest.mark.parametrize(
    ("plan", "answers", "total"),
    [([[0, 1]], [[1.0]], 2), ([[0], [1]], [[1.0]], 2), ([[0]], [[1.0]], 2), ([[0, 0]], [[1.0, 2.0]], 2)],
    ids=["short batch", "missing batch", "uncovered", "covered twice"],
)
def test_answers_that_do_not_fit_the_plan_are_an_error(plan, answers, total):
    with pytest.raises(ValueError, match=r"plan covers|argument"):
        put_back(plan, answers, total)
