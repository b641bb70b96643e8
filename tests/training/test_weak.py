"""Weak supervision from documentation, on a few made-up pages of each kind."""

import gzip
import random
from collections import Counter

from training.corpora import read_rows, write_rows
from training.weak import descriptions, docstrings, html_pages, man_pages
from training.weak.rows import Entry, language_pairs, rows_of

LONG = "It does so for every file below a folder, and tells in the end how many there were of them. " * 4


def test_a_question_may_be_in_another_language_than_its_passage_and_both_are_the_same_page_s():
    entries = {
        f"page {n}": {
            one: Entry(f"{one} asks {n}", f"{one} answers {n}", "title") for one in ("en", "de", "fr")
        }
        for n in range(40)
    }
    rows = list(rows_of("help", entries, random.Random(0)))
    assert {row.query_language != row.language for row in rows} == {True, False}
    for row in rows:
        number = row.key.removeprefix("page ")
        assert row.query == f"{row.query_language} asks {number}"
        assert row.passage == f"{row.language} answers {number}"
    assert {row.title for row in rows} == {"", "title"}


def test_the_rarer_language_is_preferred():
    often = Counter({"de": 100, "vi": 1})
    pairs = [one for n in range(50) for one in language_pairs(["de", "en", "vi"], often, random.Random(n))]
    assert sum("vi" in one for one in pairs) > 2 * sum(
        "vi" not in one and one != ("en", "en") for one in pairs
    )


def test_rows_are_read_as_they_were_written(tmp_path):
    rows = list(rows_of("books", {"k": {"ja": Entry("問い", "答え", "題")}}, random.Random(0)))
    write_rows(rows, tmp_path / "books.jsonl")
    assert list(read_rows([tmp_path / "books.jsonl"])) == rows


def test_a_package_s_summary_asks_for_its_description(tmp_path):
    def paragraph(language, summary, digest="0a"):
        body = f" {LONG}\n .\n Last.\n"
        return f"Package: counter\nDescription-md5: {digest}\nDescription-{language}: {summary}\n{body}"

    (tmp_path / "en.txt").write_text(paragraph("en", "counts files of any kind") + "\n")
    german = [
        paragraph("de_DE", "zählt Dateien aller Arten").replace("It does", "Es tut"),
        paragraph("de", "x", "0b"),
    ]
    (tmp_path / "de.txt").write_text("\n".join(german))
    found = descriptions.entries(sorted(tmp_path.iterdir()))
    assert list(found) == ["0a"]
    assert found["0a"]["de"].query == "zählt Dateien aller Arten"
    assert found["0a"]["en"].passage.endswith("\n\nLast.")


def test_a_description_that_was_not_translated_is_no_other_language_s(tmp_path):
    text = f"Package: counter\nDescription-md5: 0a\nDescription-en: counts files of any kind\n {LONG}\n"
    (tmp_path / "en.txt").write_text(text)
    (tmp_path / "de.txt").write_text(text.replace("-en:", "-de:"))
    assert list(descriptions.entries(sorted(tmp_path.iterdir()))["0a"]) == ["en"]


MANUAL = rf"""'\" t
.\" a comment
.TH COUNT 1
.SH NAME
count, tally \- count the files \fIbelow\fR a folder
.SH SYNOPSIS
.B count
.SH "DESCRIPTION"
.B count
reads a \(lqfolder\(rq.
.PP
{LONG}
.SS Notes
Caf\[u00E9]s don\(aqt count.
"""


def test_a_manual_page_s_purpose_asks_for_its_description(tmp_path):
    for folder in ("man1", "de/man1"):
        page = tmp_path / "usr/share/man" / folder / "count.1.gz"
        page.parent.mkdir(parents=True)
        page.write_bytes(gzip.compress(MANUAL.encode()))
    found = man_pages.entries(tmp_path.rglob("*.gz"))
    entry = found["count.1"]["en"]
    assert set(found["count.1"]) == {"en", "de"}
    assert (entry.query, entry.title) == ("count the files below a folder", "count")
    assert entry.passage.startswith('count\nreads a "folder".\n\nIt does so')
    assert entry.passage.endswith("\nNotes\n\nCafés don't count.")


def test_a_page_without_a_purpose_gives_nothing():
    assert man_pages.entry_of(MANUAL.replace(r"\-", "of")) is None
    assert man_pages.entry_of("") is None


def test_docstrings_ask_by_first_line_parameter_or_name(tmp_path):
    rest = (
        f"{LONG}\n\n    Args:\n        depth : int\n            How many folders below it are read as well."
    )
    code = "".join(
        f'def count_files_{n}_below(depth):\n    """Count the files of kind {n}.\n\n    {n} {rest}\n    """\n'
        for n in range(40)
    )
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "a.py").write_text(code + "def _hidden(): ...\n")
    (tmp_path / "package" / "broken.py").write_text("def (")
    asked = [by["en"].query for by in docstrings.entries(tmp_path, random.Random(0)).values()]
    assert any(one.startswith("Count the files of kind") for one in asked)
    assert any(one.startswith("count files") for one in asked)
    assert any(one.startswith("How many folders") for one in asked)


def test_a_section_s_heading_asks_for_its_text_in_each_language_that_has_it(tmp_path):
    def page(language, title, heading, text):
        place = tmp_path / f"help-{language}/usr/share/help/{language}/text/a.html"
        place.parent.mkdir(parents=True)
        start = '<h1>Menu</h1><div id="DisplayArea">'
        place.write_text(
            f"{start}<h1>{title}</h1><p>{text}</p><h2>2.1. {heading}</h2><p>{text}<br>&amp; {heading}</p>"
        )

    page("en", "Counting &amp; more", "Files", LONG)
    page("de", "Zählen und mehr", "Dateien", LONG.replace("It", "Es"))
    page("fr", "Counting &amp; more", "Files", LONG)  # not translated
    first, second = html_pages.entries(tmp_path).values()
    assert {language: one.query for language, one in first.items()} == {
        "en": "Counting & more",
        "de": "Zählen und mehr",
    }
    assert second["de"].query == "Zählen und mehr: Dateien"
    assert second["en"].passage.endswith("\n& Files")


def test_translations_of_a_page_are_told_by_its_path():
    assert html_pages.placed("handbook/usr/share/doc/html/ja-JP/a.html") == ("usr/share/doc/a.html", "ja")
    assert html_pages.placed("reference-de/usr/share/reference/ch1.de.html") == (
        "usr/share/reference/ch1/",
        "de",
    )
    assert html_pages.placed("reference-zh/usr/share/reference/ch1.zh-cn.html")[1] == "zh"
    assert html_pages.placed("faq/usr/share/faq/ch1.html") == ("usr/share/faq/ch1.html", "en")
