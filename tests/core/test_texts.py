"""Texts made safe at the door, and found again as they were."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nvrerank.texts import encodable, span_before_cleaning

texts = st.lists(st.sampled_from(["\ud83d", "\ude00", "a", "\u0301", "猫", "🙂"]), max_size=12).map("".join)


@given(texts, st.data())
def test_characters_of_a_cleaned_text_are_found_in_the_text_as_it_was(text, data):
    cleaned = encodable(text)
    start = data.draw(st.integers(0, len(cleaned)))
    end = data.draw(st.integers(start, len(cleaned)))
    found = text[slice(*span_before_cleaning(text, (start, end)))]
    assert encodable(found) == cleaned[start:end]


def test_control_halves_that_are_joined_move_what_follows():
    text = "\ud83d\ude00 gold"
    assert encodable(text)[2:6] == "gold" != text[2:6]
    assert span_before_cleaning(text, (2, 6)) == (3, 7)
