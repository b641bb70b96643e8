"""What `nvrerank rank` reads: folders, patterns, HTML, PDF and JSON lines; and what it refuses."""

from __future__ import annotations

import json
import os
import sys

import pytest

from nvrerank.cli.html_text import text_of_html


@pytest.fixture
def ranked(command):
    """The passages that `nvrerank rank ... --json` prints, in input order."""

    def run(*arguments, **options):
        result = command("rank", "q", *arguments, "--json", **options)
        assert result.exit_code == 0, result.stderr
        return sorted(json.loads(result.stdout), key=lambda entry: entry["index"])

    return run


@pytest.fixture
def folder(tmp_path):
    """Two texts, one of them deeper, and what is no text."""
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "docs" / ".git").mkdir()
    (tmp_path / "docs" / "b.txt").write_text("second", encoding="utf-8")
    (tmp_path / "docs" / "deep" / "a.md").write_text("third", encoding="utf-8")
    (tmp_path / "docs" / "a.txt").write_text("first", encoding="utf-8")
    (tmp_path / "docs" / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n rest")
    (tmp_path / "docs" / ".hidden").write_text("hidden", encoding="utf-8")
    (tmp_path / "docs" / ".git" / "config").write_text("hidden", encoding="utf-8")
    return tmp_path / "docs"


def pdf(*pages: str) -> bytes:
    """A PDF with a line of text a page."""
    count = len(pages)
    kids = " ".join(f"{3 + number} 0 R" for number in range(count))
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {count} >>"]
    for number in range(count):
        resources = f"<< /Font << /F1 {font} >> >>"
        content = f"/Contents {3 + count + number} 0 R"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources {resources} {content} >>"
        )
    for page in pages:
        stream = f"BT /F1 12 Tf 50 700 Td ({page}) Tj ET"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    body, places = "%PDF-1.4\n", []
    for number, one in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj\n{one}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return f"{body}xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


def test_a_folder_is_read_with_what_is_in_it_in_order_and_the_rest_is_said(command, ranked, folder):
    assert [entry["text"] for entry in ranked(folder)] == ["first", "second", "third"]
    result = command("rank", "q", folder)
    assert result.stderr == (
        f"nvrerank: skipped 1 file: {folder / 'picture.png'} is a PNG image, not text: save it as text, "
        "Markdown, HTML or PDF first\n"
    )


def test_a_pattern_is_matched_also_in_folders_below(ranked, folder):
    assert [entry["text"] for entry in ranked(f"{folder}/*.txt")] == ["first", "second"]
    assert [entry["text"] for entry in ranked(f"{folder}/**/a.*")] == ["first", "third"]


def test_a_file_is_read_once_however_often_it_is_named(ranked, folder):
    assert len(ranked(folder / "a.txt", folder, f"{folder}/*.txt", folder / "a.txt")) == 3


def test_a_name_with_signs_of_a_pattern_is_a_file_if_there_is_one(ranked, tmp_path):
    (tmp_path / "what[1]?.txt").write_text("text", encoding="utf-8")
    assert [entry["text"] for entry in ranked(tmp_path / "what[1]?.txt")] == ["text"]


def test_a_pattern_that_matches_nothing_is_a_wrong_call(command, tmp_path):
    result = command("rank", "q", f"{tmp_path}/*.txt")
    assert (result.exit_code, result.stderr) == (2, f"nvrerank: no file matches {tmp_path}/*.txt\n")


def test_what_never_ends_is_refused_by_its_beginning_or_left_out(command, ranked, folder):
    result = command("rank", "q", "/dev/zero")
    assert (result.exit_code, result.stderr) == (2, "nvrerank: /dev/zero is not a text file in UTF-8\n")
    os.mkfifo(folder / "pipe")
    assert [entry["text"] for entry in ranked(folder)] == ["first", "second", "third"]


def test_a_folder_without_text_is_no_error_but_said(command, tmp_path):
    result = command("rank", "q", tmp_path)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"nvrerank: nothing to rank: no text in {tmp_path}\n"


PAGE = """<!DOCTYPE html>
<html><head><title>The house</title><style>p { color: red }</style>
<script>if (a < b) { alert("no text") }</script></head>
<body>
<h1>Rooms</h1>
<p>The <b>red</b> room &amp; the
blue one.</p><p>No lift.</p>
<ul><li>one<li>two</ul>
<table><tr><td>floor</td><td>3</td></tr></table>
<pre>
def f():
    return 1
</pre>
<!-- a comment -->
</body></html>
"""


def test_html_is_read_as_its_text_with_the_lines_of_the_file():
    text, lines = text_of_html(PAGE)
    found = [(line, number) for line, number in zip(text.split("\n"), lines, strict=True) if line]
    assert found == [
        ("The house", 2),
        ("Rooms", 5),
        ("The red room & the blue one.", 6),
        ("No lift.", 7),
        ("one", 8),
        ("two", 8),
        ("floor 3", 9),
        ("def f():", 11),
        ("    return 1", 12),
    ]
    paragraphs = [part.split("\n") for part in text.strip().split("\n\n")]
    assert [part[0] for part in paragraphs] == [
        "The house",
        "Rooms",
        "The red room & the blue one.",
        "No lift.",
        "one",
        "floor 3",
        "def f():",
    ]


@pytest.mark.parametrize("name", ["page.html", "page.HTM", "page.txt", "page"])
def test_html_is_known_by_its_name_or_its_beginning(ranked, tmp_path, name):
    (tmp_path / name).write_text(PAGE, encoding="utf-8")
    (entry,) = ranked(tmp_path / name)
    assert entry["line"] == 2
    assert "<" not in entry["text"]
    assert "red room & the blue" in entry["text"]


def test_html_says_its_own_encoding(command, ranked, tmp_path):
    page = '<html><meta charset="iso-8859-1"><p>caf\xe9'
    (tmp_path / "latin.html").write_bytes(page.encode("latin-1"))
    assert ranked(tmp_path / "latin.html")[0]["text"] == "caf\xe9"
    (tmp_path / "latin.html").write_bytes(page.replace("iso-8859-1", "nonsense").encode("latin-1"))
    result = command("rank", "q", tmp_path / "latin.html")
    assert result.exit_code == 2
    assert "names an encoding that is none: nonsense" in result.stderr


@pytest.mark.parametrize(
    "broken", ["<p", "<p><script>", "</p></div>", "<![CDATA[x", "&#xFFFFFFFF;", "<svg><p>"]
)
def test_broken_html_is_read_as_far_as_it_goes(broken):
    assert text_of_html("<p>before</p>" + broken)[0].startswith("before")


def test_a_pdf_is_read_by_its_pages(command, ranked, tmp_path):
    (tmp_path / "paper.pdf").write_bytes(pdf("Cats sleep.", "Dogs bark."))
    entries = ranked(tmp_path / "paper.pdf")
    assert [(entry["page"], entry["line"], entry["text"]) for entry in entries] == [
        (1, None, "Cats sleep."),
        (2, None, "Dogs bark."),
    ]
    assert f"{tmp_path / 'paper.pdf'}, page 2" in command("rank", "dogs", tmp_path / "paper.pdf").stdout


def test_a_pdf_without_text_is_said(command, tmp_path):
    (tmp_path / "scan.pdf").write_bytes(pdf(""))
    result = command("rank", "q", tmp_path / "scan.pdf")
    assert "scan.pdf has no text" in result.stderr


def test_a_broken_pdf_is_one_line_and_status_2(command, tmp_path):
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 and no more")
    result = command("rank", "q", tmp_path / "broken.pdf")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "broken.pdf can't be read as PDF" in result.stderr


def test_a_pdf_without_the_extra_names_the_pip_command_and_is_never_read_as_bytes(
    command, monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, "pypdf", None)
    (tmp_path / "paper.pdf").write_bytes(pdf("Cats sleep."))
    result = command("rank", "q", tmp_path / "paper.pdf")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (3, "", 1)
    assert "pip install 'nvrerank[pdf]'" in result.stderr


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04 no zero byte", "an Office, EPUB or ZIP file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office file of the old format"),
        (b"{\\rtf1 some text}", "an RTF file"),
        (b"\x1f\x8b\x08 x", "a gzip file"),
        (bytes(range(128, 256)), "not a text file in UTF-8"),
        ("\u043f\u0440\u0438\u0432\u0435\u0442".encode("cp1251"), "not a text file in UTF-8"),
    ],
)
@pytest.mark.parametrize("name", ["file.txt", "-", "page.html"])
def test_what_is_no_text_is_refused_by_its_signature(command, tmp_path, monkeypatch, content, kind, name):
    monkeypatch.chdir(tmp_path)
    if name != "-":
        (tmp_path / name).write_bytes(content)
    result = command("rank", "q", name, stdin=content if name == "-" else None)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert kind in result.stderr


def test_json_lines_are_passages_as_they_are(command, ranked, tmp_path):
    file = tmp_path / "found.jsonl"
    file.write_text('{"text": "a b", "score": 0.5}\n\n"x y"\n' + json.dumps({"text": "n" * 2000}), "utf-8")
    assert [(entry["line"], len(entry["text"])) for entry in ranked(file)] == [(1, 3), (3, 3), (4, 2000)]


@pytest.mark.parametrize(
    "line", ["{", "[1]", '{"score": 1}', '{"text": 1}', '{"text": "a", "score": "high"}']
)
def test_a_line_of_json_that_is_no_passage_is_named(command, tmp_path, line):
    (tmp_path / "found.jsonl").write_text(f'"good"\n{line}\n', encoding="utf-8")
    result = command("rank", "q", tmp_path / "found.jsonl")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "found.jsonl:2" in result.stderr


def test_scores_of_json_lines_are_fused(ranked, tmp_path):
    file = tmp_path / "found.jsonl"
    file.write_text(
        '{"text": "q", "score": 0}\n{"text": "x", "score": 9}\n{"text": "y", "score": 1}', "utf-8"
    )
    fused = {entry["text"]: entry["fused"] for entry in ranked(file, "--fuse", "zscore")}
    assert fused["x"] > fused["y"]
    assert {entry["fused"] for entry in ranked(file)} == {None}


def test_fusing_scores_that_are_not_there_names_the_option(command, made_with, notes):
    result = command("rank", "q", notes, "--fuse", "zscore")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith("nvrerank: --fuse zscore needs what retrieval scored each passage")
