"""Tables and pages: what they hold, and that no text becomes markup."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.html import Page

from nvrerank import Ranked, Ranking
from nvrerank.show import page, table

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</mark></td></table><h1>out</h1>",
    "<!-- ",
    "&lt;b&gt; &amp;amp; &#60;",
    "]]></style><style>*{}",
    "nul \0 bell \a escape \x1b[31m",
]
ALLOWED = {"table", "caption", "bdi", "thead", "tbody", "tr", "th", "td", "div", "mark", "small"}
OF_A_PAGE = {"html", "head", "meta", "title", "style", "body", "h1", "details", "summary"}


def of(*texts, query="q", **options):
    return Ranking([Ranked(index, 1.0, **options) for index in range(len(texts))], query, list(texts))


def test_each_row_has_both_ranks_the_movement_both_scores_and_the_text(ranking):
    assert Page(table(ranking)).rows() == [
        ["1", "4", "↑\u00a03", "2.500", "0.600", "about window hereits end was not read"],
        ["2", "2", "=", "1.000", "0.800", "second"],
        ["3", "1", "↓\u00a02", "-0.500", "0.900", "first"],
        ["4", "5", "↑\u00a01", "\u2013", "\u2013", " "],
    ]


def test_without_retrieval_scores_there_is_no_column_for_them(ranking):
    ranking.retrieval_scores = None
    read = Page(table(ranking))
    assert read.texts("th")[:5] == ["rank", "before", "moved", "score", "passage"]
    assert [len(row) for row in read.rows()] == [5] * 4


def test_what_fused_the_order_has_a_column_where_it_was_fused(ranking):
    fused = [
        replace(one, fused=key) for one, key in zip(ranking, [0.0325, 0.0323, 0.0164, None], strict=True)
    ]
    read = Page(table(Ranking(fused, ranking.query, ranking.passages)))
    assert read.texts("th")[3:6] == ["score", "fused score", "passage"]
    assert [row[3:5] for row in read.rows()] == [
        ["2.500", "0.0325"],
        ["1.000", "0.0323"],
        ["-0.500", "0.0164"],
        ["\u2013", "\u2013"],
    ]


@pytest.mark.parametrize(
    ("score", "shown"),
    [
        (12.8864, "12.886"),
        (-0.5, "-0.500"),
        (0.0, "0.000"),
        (0.09996, "0.100"),
        (1 / 61, "0.0164"),  # a score by reciprocal rank
        (-0.0123456, "-0.0123"),
        (3e-9, "3.00e-09"),
        (-1e300, "-1.000e+300"),
        (None, "\u2013"),
    ],
)
def test_a_score_has_as_many_digits_as_tell_something(score, shown):
    assert Page(table(Ranking([Ranked(0, score)], "q", ["a"]))).rows() == [["1", "1", "=", shown, "a"]]


def test_a_word_without_end_is_broken_in_its_cell():
    cells = [keys["style"] for name, keys, _ in Page(table(of("x" * 900))).elements if name == "td"]
    assert [("overflow-wrap:anywhere" in style) for style in cells] == [False, False, False, True]


def test_the_window_that_decided_is_marked(ranking):
    assert Page(table(ranking)).texts("mark") == ["window"]


def test_marks_that_are_given_count_before_the_window(ranking):
    assert Page(table(ranking, marks={3: [(0, 5)], 1: [(0, 3), (3, 6)]})).texts("mark") == [
        "about",
        "sec",
        "ond",
    ]


def test_a_ranking_shows_itself_in_a_notebook(ranking):
    assert ranking._repr_html_() == table(ranking)


@pytest.mark.parametrize("make", [table, page])
def test_what_is_left_out_is_counted(make, ranking):
    assert Page(make(ranking, rows=1)).rows()[1:] == [["and 3 more"]]
    assert "and" not in Page(make(ranking, rows=4)).rows()[-1][0]


def test_a_ranking_of_nothing_says_so():
    assert Page(table(Ranking([], "q", ["a"]))).rows() == [["no passage stayed"]]
    assert Page(table(Ranking([], "q", ["a"]))).texts("caption") == ["0 of 1 passages for “q”"]


def test_a_query_that_was_cut_is_told_in_the_caption():
    ranking = Ranking([], "q", ["a"], query_truncated=True)
    assert Page(table(ranking)).texts("caption") == ["0 of 1 passages for “q”, whose end was not read"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_text_stays_text_wherever_it_stands(hostile):
    seen = "".join("\ufffd" if sign in "\0\a\x1b" else sign for sign in hostile)
    ranking = of(hostile, query=hostile)
    marks = {0: [(1, len(hostile) - 1)]}
    for source in (
        table(ranking, marks=marks, labels=[hostile]),
        page(ranking, marks=marks, labels=[hostile]),
    ):
        read = Page(source)
        assert read.names() <= ALLOWED | OF_A_PAGE
        assert read.texts("div") == [seen]
        assert read.texts("mark") == [seen[1:-1]]
        assert read.texts("bdi") == [seen, seen]
        assert not any(key.startswith("on") or key == "src" for _, keys, _ in read.elements for key in keys)


def test_the_oracle_sees_what_is_not_escaped():
    assert "script" in Page(f"<div>{HOSTILE[0]}</div>").names()


@given(st.text(max_size=60), st.lists(st.tuples(st.integers(0, 70), st.integers(0, 70)), max_size=4))
def test_any_text_and_any_marks_come_back_as_they_were(text, marks):
    [shown] = Page(table(of(text), marks={0: marks}, length=None)).texts("div")
    kept = [sign for sign in text if not (sign < " " or "\x7f" <= sign <= "\x9f")]
    assert [sign for sign in shown if sign >= " " and sign != "\ufffd"] == [s for s in kept if s != "\ufffd"]


def test_a_table_needs_no_script_no_style_sheet_and_nothing_from_elsewhere(ranking):
    source = table(ranking)
    assert Page(source).names() <= ALLOWED
    assert not any(word in source for word in ("<script", "<style", "class=", "href", "src", "url("))


def test_a_table_names_its_columns_and_rows_for_screen_readers(ranking):
    heads = [(keys.get("scope"), text) for name, keys, text in Page(table(ranking)).elements if name == "th"]
    assert heads[:6] == [
        ("col", name) for name in ["rank", "before", "moved", "score", "retrieval score", "passage"]
    ]
    assert heads[6:] == [("row", str(rank)) for rank in range(1, 5)]
    assert Page(table(ranking)).texts("caption") == ["4 of 5 passages for “which window?”"]


def test_each_text_finds_its_own_direction(ranking):
    directions = [keys.get("dir") for name, keys, _ in Page(table(ranking)).elements if name == "div"]
    assert directions == ["auto"] * 4


def test_a_long_text_is_shortened_around_its_mark_and_can_be_unfolded_on_a_page():
    text = "word " * 200 + "THE ANSWER" + " word" * 200
    ranking, marks = of(text), {0: [(1000, 1010)]}
    [short] = Page(table(ranking, marks=marks, length=60)).texts("div")
    assert "THE ANSWER" in short
    assert len(short) < 70
    assert short.startswith("… word")
    assert short.endswith("word …")
    assert Page(page(ranking, marks=marks, length=60)).texts("div") == [short, text]


def test_a_page_is_a_document_that_suits_light_and_dark(ranking):
    read = Page(page(ranking))
    assert read.texts("title") == ["which window?"]
    metas = [keys for name, keys, _ in read.elements if name == "meta"]
    assert {"charset": "utf-8"} in metas
    assert {"name": "color-scheme", "content": "light dark"} in metas
    assert "script" not in read.names()


@pytest.mark.parametrize(
    ("options", "kind", "reason"),
    [
        ({"rows": -1}, ValueError, "rows must be 0 or more, not -1"),
        ({"rows": 1.5}, TypeError, "rows must be a whole number, not 1.5"),
        ({"rows": True}, TypeError, "rows must be a whole number"),
        ({"length": 0}, ValueError, "length must be 1 or more"),
        ({"labels": ["a"]}, ValueError, "labels must name each passage: 1 for 5"),
    ],
)
@pytest.mark.parametrize("make", [table, page])
def test_a_bad_argument_is_named(make, ranking, options, kind, reason):
    with pytest.raises(kind, match=reason):
        make(ranking, **options)
