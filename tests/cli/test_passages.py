import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvrerank.passages import Paragraph, cut

A, B, C = "a" * 30, "b" * 30, "c" * 30


def test_a_paragraph_is_a_passage_with_the_line_it_starts_on():
    assert cut(f"{A}\n{B}\n\n \n{C}\n", least=20) == [Paragraph(f"{A}\n{B}", 1), Paragraph(C, 5)]


def test_a_short_paragraph_takes_in_the_next():
    assert cut(f"Title\n\n{A}\n\n{B}", least=20) == [Paragraph(f"Title\n\n{A}", 1), Paragraph(B, 5)]


def test_a_short_paragraph_stays_alone_where_the_next_does_not_fit():
    assert cut(f"Title\n\n{A}", least=20, most=32) == [Paragraph("Title", 1), Paragraph(A, 3)]


def test_a_long_paragraph_is_cut_between_lines():
    assert cut(f"{A}\n{B}\n{C}", least=1, most=61) == [Paragraph(f"{A}\n{B}", 1), Paragraph(C, 3)]


def test_a_long_line_is_cut_between_words():
    assert [one.text for one in cut("one two three four", least=1, most=9)] == ["one two", "three", "four"]


def test_a_long_word_is_cut_where_it_must_be():
    assert [one.text for one in cut("x" * 25, most=10)] == ["x" * 10, "x" * 10, "x" * 5]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_any_way(line_end):
    assert cut(line_end.join([A, "", B]), least=1) == [Paragraph(A, 1), Paragraph(B, 3)]


def test_indentation_is_kept():
    assert cut("def f():\n    return 1")[0].text == "def f():\n    return 1"


@pytest.mark.parametrize("text", ["", "\n\n", " \t \n \u3000\n"])
def test_a_blank_text_has_no_passages(text):
    assert cut(text) == []


def test_a_size_of_less_than_1_is_an_error():
    with pytest.raises(ValueError, match="at least 1 character, not 0"):
        cut("text", most=0)


texts = st.text(alphabet=st.sampled_from("ab \n\r\t\u3000\x1c"), max_size=200)


@given(texts, st.integers(0, 40), st.integers(1, 30))
def test_nothing_but_white_space_is_lost_and_nothing_is_too_long(text, least, most):
    found = cut(text, least=least, most=most)
    assert "".join("".join(one.text for one in found).split()) == "".join(text.split())
    assert all(one.text.strip() and len(one.text) <= most for one in found)


@given(texts, st.integers(0, 40), st.integers(1, 30))
def test_a_passage_starts_on_the_line_it_says(text, least, most):
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for one in cut(text, least=least, most=most):
        assert one.text.split("\n")[0].strip() in lines[one.line - 1]
