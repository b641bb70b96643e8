"""Texts made safe at the door, found again as they were, and blank where nothing of them can be seen."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvrerank.passages import cut as cut_file
from nvrerank.segmentation import Boundaries, cut_windows, sentences
from nvrerank.texts import clean_call, clean_query, encodable, is_blank, span_before_cleaning

texts = st.lists(st.sampled_from(["\ud83d", "\ude00", "a", "\u0301", "猫", "🙂"]), max_size=12).map("".join)

INVISIBLE = {
    "nothing": "",
    "white space": " \t\n\u00a0\u2003\u3000\u2028",
    "zero width": "\u200b\u200c\u200d\u2060\ufeff",
    "soft hyphens": "\u00ad\u00ad",
    "direction": "\u200e\u200f\u061c\u202a\u202e\u2066\u2069",
    "controls": "\x00\x07\x1b\x7f\x85\x9f",
    "variation selectors": "\ufe00\ufe0f\U000e0100\U000e01ef\u180b\u180f",
    "tags": "\U000e0001\U000e0067\U000e007f",
    "Hangul fillers": "\u115f\u1160\u3164\uffa0",
    "Khmer's inherent vowels": "\u17b4\u17b5",
    "a joiner of graphemes": "\u034f",
    "a blank Braille pattern": "\u2800",
    "invisible operators": "\u2061\u2062\u2063\u2064",
    "beams of music": "\U0001d159\U0001d173\U0001d17a",
    "not assigned, ignored by default": "\u2065\ufff0\U000e0fff",
    "all together": "\ufeff \u200b\u2800\n\u00ad\x00\ufe0f\u3164",
}
VISIBLE = [
    "👩\u200d👧",
    "می\u200cخواهم",
    "क्\u200dष",
    "❤\ufe0f",
    "\u0301",
    "\u0600",
    "\u06dd",
    "⠁",
    "\ufffd",
    "한",
    "\ue000",
]


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


@pytest.mark.parametrize("text", INVISIBLE.values(), ids=INVISIBLE.keys())
def test_a_text_of_which_nothing_can_be_seen_is_blank(text):
    assert is_blank(text)
    assert is_blank(text * 1000)
    with pytest.raises(ValueError, match=r"passages\[1\] is blank"):
        clean_call("why?", ["a", text])
    with pytest.raises(ValueError, match="query is blank"):
        clean_query(text)


@pytest.mark.parametrize("text", VISIBLE)
@pytest.mark.parametrize("around", ["", "\u200b\ufeff", " \x00\u2800"])
def test_a_text_with_anything_to_see_is_not_blank_and_stays_as_it_is(text, around):
    assert not is_blank(around + text + around)
    assert clean_call(around + text, [text + around]) == (around + text, [text + around])


def test_every_letter_number_mark_and_sign_but_the_empty_ones_can_be_seen():
    empty = {
        character
        for character in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(character)[0] in "LNPSM" and is_blank(character)
    }
    names = {unicodedata.name(character, "").rstrip("0123456789-") for character in empty}
    assert {name for name in names if "VARIATION SELECTOR" not in name} == {
        "COMBINING GRAPHEME JOINER",
        "HANGUL CHOSEONG FILLER",
        "HANGUL JUNGSEONG FILLER",
        "HANGUL FILLER",
        "HALFWIDTH HANGUL FILLER",
        "KHMER VOWEL INHERENT AQ",
        "KHMER VOWEL INHERENT AA",
        "BRAILLE PATTERN BLANK",
        "MUSICAL SYMBOL NULL NOTEHEAD",
        "KHITAN SMALL SCRIPT FILLER",
    } | {name for name in names if name.startswith("EGYPTIAN HIEROGLYPH") and name.endswith("BLANK")}


def test_a_window_sentence_or_passage_that_cannot_be_seen_is_left_out():
    unseen = "\u200b \ufeff" * 200
    text = f"The sea is wide. {unseen} Rust never sleeps."
    windows = list(cut_windows(text, range(1, len(text) + 1), Boundaries(text), 40, 10))
    said = f"One.\n\n{unseen}\n\nTwo."
    found = cut_file(f"One.\n\n{unseen}\n\nTwo. {unseen}", least=1, most=50)
    for pieces in ([text[slice(*one)] for one in windows], [one.text for one in found]):
        assert pieces
        assert not any(map(is_blank, pieces))
    assert windows[-1][1] == len(text)
    assert [said[slice(*one)] for one in sentences(said)] == ["One.", "Two."]
