"""Of a long text the part worth showing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvrerank.show.excerpt import Piece, excerpt

WORDS = " ".join(f"word{number}" for number in range(100))


def shown(*args, **options):
    return "".join(piece.text for piece in excerpt(*args, **options))


def test_a_short_text_is_shown_as_it_is():
    assert excerpt("all of it", length=9) == [Piece("all of it")]


def test_marks_cut_the_text_and_know_their_number():
    assert excerpt("abcdef", [(3, 4), (0, 2)]) == [Piece("ab", 1), Piece("c"), Piece("d", 0), Piece("ef")]


def test_of_marks_that_overlap_no_character_is_shown_twice():
    assert excerpt("abcdef", [(0, 4), (2, 6)]) == [Piece("abcd", 0), Piece("ef", 1)]


def test_without_a_mark_the_beginning_is_shown():
    assert shown(WORDS, length=20) == "word0 word1 word2 …"


def test_the_first_mark_is_in_sight_whole():
    start = WORDS.index("word50")
    text = shown(WORDS, [(start, start + 6), (0, 5)], length=40)
    assert text.startswith("… word")
    assert "word50 " in text
    assert text.endswith(" …")


def test_of_a_mark_that_is_too_long_the_beginning_is_shown():
    assert excerpt(WORDS, [(6, 500)], length=11) == [Piece("… "), Piece("word1 word2", 0), Piece(" …")]


@pytest.mark.parametrize("cluster", ["e\u0301", "👩\u200d🚀", "👍\U0001f3fd"])
def test_what_is_seen_as_one_character_is_not_parted(cluster):
    for length in range(5, 15):
        text = shown(cluster * 40, length=length)
        assert text.removesuffix(" …").replace(cluster, "") == ""


@given(
    st.text(alphabet="ab \n\u0301", max_size=200), st.integers(0, 220), st.integers(0, 60), st.integers(1, 90)
)
def test_what_is_shown_is_of_the_text_and_about_as_long_as_asked(text, start, size, length):
    found = shown(text, [(start, start + size)], length=length)
    inner = found.removeprefix("… ").removesuffix(" …")
    assert inner in text
    assert len(inner) <= max(length, len(text) if len(text) <= length else 0) + 60
