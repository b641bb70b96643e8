"""Where sentences begin and end."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvrerank.segmentation import sentences
from nvrerank.texts import is_blank


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["It rained.", "Nobody minded!", "Why would they?", "It was June..."],
        ["Dr. Smith met Mr. J. R. R. Tolkien at 5 p.m. sharp.", "They talked."],
        ["He works at Acme Inc. in the U.S. as a clerk.", "She left the U.S. in May."],
        ["They moved to the U.S.", "The winter was hard."],
        ["We sell apples, pears, etc.", "Nothing else."],
        ["See Fig. 3 and No. 5 of vol. 2.", "The answer was no.", "Then he left."],
        ["Pi is 3.14, see example.com/a.html or os.path.", "version 2.0.1 has it."],
        ['"Why?" he asked.', '"No idea."', "She smiled."],
        ["Use a mapping, e.g. a dict, i.e. what {} makes.", "It is fast (very fast.)", "Try it."],
        ["So did I.", "Then we went home."],
        ["It grew in 1999.", "Then it shrank."],
        ["Wait... no, go on.", "Hm… perhaps."],
        ["i like it.", "it works!", "great"],
    ],
    ids=lambda expected: expected[0][:30],
)
def test_english_is_cut_at_its_full_stops_and_nowhere_else(expected):
    assert split(" ".join(expected)) == expected


@pytest.mark.parametrize(
    "expected",
    [
        ["Das gilt z. B. für Hunde.", "Katzen auch."],
        ["Am 3. Mai kam Dr. Müller.", "Das kostet ca. 5 Mio. Euro, d. h. viel.", "Siehe Abb. 3 auf S. 12."],
        ["Él vive con la Sra. García.", "Véase la pág. 5 del vol. 2.", "¿Está claro?", "Sí."],
        ["M. Dupont est là, p. ex. en France.", "Mme. Durand part.", "Il pleut."],
        ["М. А. Булгаков родился в 1891 г. в Киеве.", "Это так, т. е. верно.", "Да."],
    ],
    ids=["German", "German dates", "Spanish", "French", "Russian"],
)
def test_other_languages_have_their_own_abbreviations(expected):
    assert split(" ".join(expected)) == expected


@pytest.mark.parametrize(
    "expected",
    [
        ["東京は日本の首都です。", "人口は約1400万人です！", "本当？"],
        ["他说：「你好。」", "然后他走了。"],
        ["真的吗?", "是的。"],
        ["円周率は３．１４です。", "終わり"],
    ],
)
def test_chinese_and_japanese_need_no_space_after_a_full_stop(expected):
    assert split("".join(expected)) == expected


@pytest.mark.parametrize(
    "expected",
    [["यह एक घर है।", "वह बड़ा है।"], ["هل هذا صحيح؟", "نعم."], ["یہ گھر ہے۔", "وہ بڑا ہے۔"]],
)
def test_other_scripts_have_their_own_full_stops(expected):
    assert split(" ".join(expected)) == expected


PROSE = (
    "A generator is a function that returns an iterator. It looks like a\n"
    "normal function except that it contains yield expressions, which produce\n"
    "values. Each is made when it is asked for."
)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("indentation", ["", "    ", "\t"])
def test_wrapped_prose_is_read_across_its_lines(line_end, indentation):
    lines = PROSE.splitlines()
    found = split(indentation + f"{line_end}{indentation}".join(lines))
    assert [" ".join(one.split()) for one in found] == [
        "A generator is a function that returns an iterator.",
        "It looks like a normal function except that it contains yield expressions, which produce values.",
        "Each is made when it is asked for.",
    ]


def test_a_blank_line_ends_a_sentence():
    assert split("A heading without a stop\n\nand a paragraph without one") == [
        "A heading without a stop",
        "and a paragraph without one",
    ]


def test_short_lines_stand_by_themselves():
    assert split("Name: Ada\nBorn: 1815\nDied: 1852") == ["Name: Ada", "Born: 1815", "Died: 1852"]


def test_each_item_of_a_list_is_one():
    items = [
        "- the first item, which is long enough to have been wrapped\n  into a second line of its own",
        "- the second item, which is quite a bit shorter than that",
        "1. The third",
    ]
    assert split("\n".join(items)) == items


def test_each_row_of_a_table_is_one():
    rows = [
        "| name of the column | what it holds, told in words that take their room |",
        "|--------------------|--------------------------------------------------|",
        "| rank | the place of a passage after it was reranked, the best is 1 |",
        "| moved | how many places the passage rose, less than zero: it fell |",
    ]
    assert split("\n".join(rows)) == rows


def test_each_line_of_code_is_one():
    lines = ["for name in names:", "print(name.upper())", 'if name == "a.B":', "break"]
    assert split(f"{lines[0]}\n    {lines[1]}\n    {lines[2]}\n        {lines[3]}\n") == lines


@pytest.mark.parametrize("text", ["", " ", "\n\n \t\u3000\r\n"])
def test_a_blank_text_has_none(text):
    assert sentences(text) == []


pieces = st.sampled_from(
    [
        "Dr.",
        "a",
        " ",
        "\n",
        "\n\n",
        ". ",
        "。",
        "!?",
        "...",
        "U.S.",
        "B",
        "\r\n",
        "1.",
        "- ",
        "」",
        "\u3000",
        "word " * 9,
    ]
)


@given(st.lists(pieces, max_size=60).map("".join) | st.text(max_size=200))
def test_every_character_that_can_be_seen_is_in_exactly_one(text):
    found = sentences(text)
    borders = [border for span in found for border in span]
    assert borders == sorted(borders)
    assert all(start < end and text[start:end] == text[start:end].strip() for start, end in found)
    kept = "".join(text[start:end] for start, end in found)
    assert [one for one in kept if not is_blank(one)] == [one for one in text if not is_blank(one)]


@pytest.mark.parametrize(
    "hostile",
    ["." * 200_000 + "x", "a." * 99_000, "! " * 99_000, "a 1. " * 40_000, "\n" * 200_000, "(" * 200_000],
)
def test_no_text_takes_long(hostile):
    begun = time.process_time()
    found = sentences(hostile)
    assert time.process_time() - begun < 5
    assert sum(end - start for start, end in found) >= len("".join(hostile.split()))
