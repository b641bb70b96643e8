"""How long a passage is: estimated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvrerank import Scorer
from nvrerank.rulers import PROMPT, EstimatedRuler

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(texts)
def test_an_estimate_is_never_more_than_the_bytes_of_the_text(text):
    assert EstimatedRuler().counts([text]) <= [len(text.encode())]


@given(texts)
def test_tokens_end_within_the_text_in_order_and_are_as_many_as_are_counted(text):
    ends = EstimatedRuler().ends(text)
    assert [len(ends)] == EstimatedRuler().counts([text])
    assert ends == sorted(ends)
    assert ends[-1:] == ([len(text)] if text else [])


@given(texts, texts)
def test_a_text_and_its_parts_differ_by_a_rounding_at_most(left, right):
    whole, first, second = EstimatedRuler().counts([left + right, left, right])
    assert 0 <= first + second - whole <= 1


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("abcd" * 5, 9), ("ABCD" * 5, 18), ("12.5", 4), ("д" * 4, 5), ("猫" * 4, 6), ("🙂", 4)],
)
def test_each_kind_of_character_has_the_weight_that_is_stated(text, count):
    assert EstimatedRuler().counts([text]) == [count]


def test_the_room_is_what_query_and_prompt_leave():
    assert EstimatedRuler(512, "1234").room == 512 - PROMPT - 4


def test_a_scorer_that_says_nothing_is_estimated_and_its_room_not_known():
    class Bare(Scorer):
        def score(self, query, passages):
            return [0.0 for _ in passages]

    ruler = Bare().ruler("q")
    assert (ruler.room, ruler.exact) == (None, False)
