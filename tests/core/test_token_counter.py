"""How long a passage is: estimated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.token_counters import Bytes, Words

from nvrerank import Scorer
from nvrerank.token_counter import PROMPT, EstimatedTokenCounter, beginning, passage_share

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(texts)
def test_an_estimate_is_never_more_than_the_bytes_of_the_text(text):
    assert EstimatedTokenCounter().counts([text]) <= [len(text.encode())]


@given(texts)
def test_tokens_end_within_the_text_in_order_and_are_as_many_as_are_counted(text):
    ends = EstimatedTokenCounter().ends(text)
    assert [len(ends)] == EstimatedTokenCounter().counts([text])
    assert ends == sorted(ends)
    assert ends[-1:] == ([len(text)] if text else [])


@given(texts, texts)
def test_a_text_and_its_parts_differ_by_a_rounding_at_most(left, right):
    whole, first, second = EstimatedTokenCounter().counts([left + right, left, right])
    assert 0 <= first + second - whole <= 1


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("abcd" * 5, 9), ("ABCD" * 5, 18), ("12.5", 4), ("д" * 4, 5), ("猫" * 4, 6), ("🙂", 4)],
)
def test_each_kind_of_character_has_the_weight_that_is_stated(text, count):
    assert EstimatedTokenCounter().counts([text]) == [count]


def test_the_room_is_what_query_and_prompt_leave():
    assert EstimatedTokenCounter(512, "1234").room == 512 - PROMPT - 4


@pytest.mark.parametrize("query", ["猫" * 300, "why? " * 2000])
def test_beside_a_long_query_a_passage_has_a_quarter_of_what_is_read(query):
    assert (EstimatedTokenCounter(512, query).room, EstimatedTokenCounter(512, query).query) == (128, None)
    assert passage_share(2) == 1


@given(st.lists(st.sampled_from(["a", "bb", "ccc", " "])).map("".join), st.integers(3, 40))
def test_the_beginning_of_a_query_is_the_longest_that_fits(query, most):
    words = Words()
    found = beginning(query, most, lambda text: 2 + len(text.split()), words.ends)
    expected = " ".join(query.split()[: most - 2])
    assert (query if found is None else found).split() == expected.split()
    assert (found is None) == (len(query.split()) <= most - 2)


def test_a_query_whose_beginning_has_other_tokens_by_itself_is_cut_further():
    swollen = Bytes()
    found = beginning("x" * 100, 50, lambda text: len(text) + len(text) // 7, swollen.ends)
    assert 35 < len(found) <= 44
    assert len(found) + len(found) // 7 <= 50


def test_a_token_of_the_query_is_kept_whatever_room_there_is():
    assert beginning("a b c", 0, lambda text: 9 + len(text.split()), Words().ends) == "a"


def test_a_scorer_that_says_nothing_is_estimated_and_its_room_not_known():
    class Bare(Scorer):
        def score(self, query, passages):
            return [0.0 for _ in passages]

    counter = Bare().token_counter("q")
    assert (counter.room, counter.exact) == (None, False)
