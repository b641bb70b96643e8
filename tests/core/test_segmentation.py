"""Where a text may be cut."""

from __future__ import annotations

import pytest

from nvrerank.segmentation import Boundaries


def parts(text: str, least: int, most: int) -> tuple[str, str]:
    place = Boundaries(text).last(least, most)
    return text[:place], text[place:]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("He came. She went away now", "He came."),
        ('He said "Go!" Then nothing more', 'He said "Go!"'),
        ("Why?! Because it is so", "Why?!"),
        ("A heading\nand its text here", "A heading"),
        ("A heading\r\nand its text here", "A heading"),
        ("吾輩は猫である。名前はまだ無いよ", "吾輩は猫である。"),
        ("「猫である。」名前はまだ無いです", "「猫である。」"),
        ("वह आया। फिर वह चला गया था", "वह आया।"),
    ],
)
def test_a_cut_falls_after_a_sentence(text, first):
    assert parts(text, 1, len(text) - 2) == (first, text.removeprefix(first))


def test_of_several_sentences_the_last_that_fits_counts():
    assert parts("One. Two. Three. Four.", 1, 12)[0] == "One. Two."


@pytest.mark.parametrize("text", ["see nvrerank.local and so on", "it costs 3.14 or so they say"])
def test_a_full_stop_within_a_word_ends_no_sentence(text):
    assert parts(text, 1, 20)[0] == text[:20].rsplit(" ", 1)[0] + " "


def test_without_a_sentence_it_falls_between_words():
    assert parts("a long sentence without an end", 5, 17) == ("a long sentence ", "without an end")


def test_without_spaces_it_falls_after_a_comma_if_there_is_one():
    assert parts("名前はまだ無い、どこで生れたか", 1, 12)[0] == "名前はまだ無い、"


def test_without_any_border_it_falls_at_the_limit():
    assert parts("x" * 100, 10, 37) == ("x" * 37, "x" * 63)


def test_borders_before_the_least_place_do_not_count():
    assert parts("One. " + "x" * 100, 20, 40)[0] == "One. " + "x" * 35


@pytest.mark.parametrize(
    ("text", "most", "kept"),
    [
        ("abcde\u0301fgh", 5, "abcd"),  # e with an accent of its own
        ("ab👩\u200d👧cd", 3, "ab"),  # two people, one family
        ("ab👩\u200d👧cd", 4, "ab"),
        ("ab👍🏽cd", 3, "ab"),  # a thumb and its colour
        ("🇩🇪🇫🇷🇯🇵", 5, "🇩🇪🇫🇷"),  # two letters a flag
        ("ab🏴\U000e0067\U000e0062\U000e0065\U000e007fcd", 5, "ab"),  # one that is spelt in tags
        ("ab1\ufe0f\u20e3cd", 4, "ab"),  # the key of a phone
    ],
)
def test_what_is_seen_as_one_character_stays_together(text, most, kept):
    assert parts(text, 1, most)[0] == kept


def test_marks_without_end_are_cut_all_the_same():
    assert Boundaries("a" + "\u0301" * 500).last(10, 400) == 400


@pytest.mark.parametrize(
    "piece", [".", "!?", ". ", " ", "\n", "\r\n", '."', "。", "。」", "a.", "\u0301", "🇩🇪"]
)
def test_a_text_over_which_a_quadratic_search_would_hang_is_cut(piece):
    text = piece * (400_000 // len(piece))
    assert 100 <= Boundaries(text).last(100, 200) <= 200
