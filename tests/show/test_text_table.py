"""What `print` shows of a ranking."""

from __future__ import annotations

from support.images import png

from nvrerank import Passage, Ranked, Ranking
from nvrerank.show import table, text_table


def test_a_ranking_prints_as_a_table(ranking):
    assert str(ranking).splitlines() == [
        "4 of 5 passages for “which window?”",
        "rank  before  moved   score  retrieval score  passage",
        "   1       4    ↑ 3   2.500            0.600  about window here",
        "   2       2      =   1.000            0.800  second",
        "   3       1    ↓ 2  -0.500            0.900  first",
        "   4       5    ↑ 1       –                –",
    ]


def test_its_repr_stays_that_of_a_list():
    ranking = Ranking([Ranked(0, 1.0, text="a long passage")], "q", ["a long passage"])
    assert repr(ranking) == repr([Ranked(0, 1.0)])
    assert "a long passage" not in repr(ranking)


def test_a_line_is_as_wide_as_it_is_told_and_no_text_commands_the_terminal():
    texts = ["x" * 500, "two\nlines \x1b[31mred"]
    ranking = Ranking([Ranked(0, 1.0), Ranked(1, 0.5)], "q" * 500, texts)
    lines = str(ranking).splitlines()
    assert [len(line) for line in lines[:3]] == [100, 35, 100]
    assert lines[2].endswith("x…")
    assert lines[3].endswith("two lines  [31mred")
    assert {len(line) for line in text_table(ranking, width=50).splitlines()[2:3]} == {50}


def test_of_many_the_rest_is_counted():
    texts = [str(n) for n in range(12)]
    ranking = Ranking([Ranked(n, 1.0) for n in range(12)], "q", texts)
    assert str(ranking).splitlines()[-1] == "and 2 more"
    assert len(text_table(ranking, rows=None).splitlines()) == 14


def test_an_empty_ranking_prints_too():
    assert str(Ranking([], "q", ["a"])).splitlines() == [
        "0 of 1 passages for “q”",
        "rank  before  moved  score  passage",
    ]


def test_an_image_alone_is_named_where_its_text_would_be():
    passages = [Passage(image=png()), Passage("a chart", png()), "words"]
    ranking = Ranking([Ranked(1, 0.9), Ranked(0, 0.4), Ranked(2, 0.1)], "q", passages)
    assert [line.split()[-1] for line in text_table(ranking).splitlines()[2:]] == [
        "chart",
        "(image)",
        "words",
    ]
    assert "(image)" in str(table(ranking))
