"""The text of an HTML document, and which of its lines each line of that text is from. Pure."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_UNSEEN = frozenset({"script", "style", "template", "noscript", "svg"})
_LINES = frozenset({"br", "dd", "dt", "li", "option", "tr"})
_PARAGRAPHS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "caption", "div", "dl", "fieldset", "figcaption"}
    | {"figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "main", "nav", "ol"}
    | {"p", "pre", "section", "summary", "table", "title", "ul"}
)
_CELLS = frozenset({"td", "th"})
_BEGINNING = re.compile(
    rb"(?is)(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html)\b"
)
_CHARSET = re.compile(rb"""(?i)(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""")


def looks_like_html(data: bytes) -> bool:
    """Whether a document begins as HTML does, whatever its file is called."""
    return _BEGINNING.match(data[:4096]) is not None


def declared_encoding(data: bytes) -> str:
    """The encoding that an HTML document names near its beginning; else UTF-8."""
    named = None if data.startswith(b"\xef\xbb\xbf") else _CHARSET.search(data[:1024])
    return "utf-8-sig" if named is None else named[1].decode("ascii")


def text_of_html(document: str) -> tuple[str, list[int]]:
    """What a reader sees of a document: a line a list item or row, a blank line between paragraphs.

    Args:
        document: HTML, however broken.

    Returns:
        The text, and for each of its lines the line of the document where it begins, from 1.
    """
    reader = _Reader()
    reader.feed(document)
    reader.close()
    reader.end_paragraph()
    return "\n".join(reader.lines), reader.numbers


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.numbers: list[int] = []
        self._words: list[str] = []
        self._number = 1  # where they begin
        self._unseen = self._verbatim = 0  # how many such elements are open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._unseen += tag in _UNSEEN
        self._break(tag)
        self._verbatim += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in _UNSEEN))
        self._break(tag)
        self._verbatim = max(0, self._verbatim - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if self._unseen:
            return
        number = self.getpos()[0]
        for line in data.split("\n") if self._verbatim else [data]:
            if not self._words:
                self._number = number + (0 if self._verbatim else _blank_lines(line))
            self._words.append(line)
            number += 1
            if self._verbatim:
                self._end_line(verbatim=True)

    def _break(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self.end_paragraph()
        elif tag in _LINES:
            self._end_line()
        elif tag in _CELLS:
            self._words.append(" ")

    def end_paragraph(self) -> None:
        self._end_line()
        if self.lines and self.lines[-1]:
            self.lines.append("")
            self.numbers.append(self.getpos()[0])

    def _end_line(self, *, verbatim: bool = False) -> None:
        line = "".join(self._words)
        line = line.rstrip() if verbatim else " ".join(line.split())
        if line or (verbatim and self.lines and self.lines[-1]):
            self.lines.append(line)
            self.numbers.append(self._number)
        self._words.clear()


def _blank_lines(text: str) -> int:
    """Line ends before the first word."""
    return text.count("\n", 0, len(text) - len(text.lstrip()))
