"""Books and help in HTML: a section's heading asks, its text answers; translations are told by their path."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

from training.weak.rows import Entry

SHORTEST_QUERY, SHORTEST = 8, 200  # characters of a heading and of a section
LONGEST_QUERY = 25  # words

_LANGUAGE = re.compile(
    r"/(?:html|help)/(?P<folder>[a-z]{2})(?:-[A-Z]{2})?/|\.(?P<suffix>[a-z]{2})(?:-[a-z]+)?\.html$"
)
_HEADING = re.compile(r"<h([1-4])[^>]*>(.{0,1000}?)</h\1>", re.DOTALL)
_SILENT = re.compile(r"<(script|style|nav|aside|footer)\b.{0,20000}?</\1>", re.DOTALL)
_BREAK = re.compile(r"</p>|</li>|<br ?/?>|</tr>|</pre>|</dd>|</dt>")
_TAG = re.compile(r"<[^>]+>")
_NUMBER = re.compile(
    r"^(?:(?:Chapter|Appendix) [\dA-Z]+(?:\.\d+)*\.?|\d+(?:\.\d+)*\.?|[A-Z](?:\.\d+)+\.?|[A-Z]\.)\s+"
)
_CONTENT = 'id="DisplayArea"'  # where LibreOffice's help begins

Sections = list[tuple[str, str]]


def entries(root: Path) -> dict[str, dict[str, Entry]]:
    """By page and section, of all pages below a folder; a translation has as many sections."""
    pages: dict[str, dict[str, Sections]] = {}
    for file in sorted(root.rglob("*.html")):
        key, language = placed(file.relative_to(root).as_posix())
        found = list(sections(file.read_text(encoding="utf-8", errors="replace")))
        if found:
            pages.setdefault(key, {})[language] = found
    return {
        f"{key}#{place}": by for key, page in pages.items() for place, by in enumerate(aligned(page)) if by
    }


def placed(path: str) -> tuple[str, str]:
    """A page's name without its package and language, and the language."""
    inside = path[path.find("/usr/") + 1 :]
    found = _LANGUAGE.search(inside)
    if found is None:
        return inside, "en"
    start, end = found.span()
    return inside[:start] + "/" + inside[end:], found["folder"] or found["suffix"]


def sections(page: str) -> Iterator[tuple[str, str]]:
    """A page's headings, each with its text."""
    parts = _HEADING.split(page.rpartition(_CONTENT)[2])
    for heading, text in zip(parts[2::3], parts[3::3], strict=True):
        body = html.unescape(_TAG.sub(" ", _BREAK.sub("\n", _SILENT.sub(" ", text))))
        lines = (" ".join(line.split()) for line in body.splitlines())
        yield (
            _NUMBER.sub("", " ".join(html.unescape(_TAG.sub(" ", heading)).split())),
            "\n".join(filter(None, lines)),
        )


def aligned(page: dict[str, Sections]) -> Iterator[dict[str, Entry]]:
    """Each section by language; a short heading gets the page's in front of it."""
    original = page.get("en") or next(iter(page.values()))
    same = {language: one for language, one in page.items() if len(one) == len(original)}
    for place, (_, text) in enumerate(original):
        yield {
            language: Entry(_question(own, place), own[place][1], own[0][0] if place else "")
            for language, own in same.items()
            if len(own[place][1]) > SHORTEST * (0.4 if language in ("zh", "ja", "ko") else 1)
            and (own is original or own[place][1][:80] != text[:80])  # else it was never translated
            and len(_question(own, place)) >= SHORTEST_QUERY
            and len(_question(own, place).split()) < LONGEST_QUERY
        }


def _question(own: Sections, place: int) -> str:
    heading, first = own[place][0], own[0][0]
    return f"{first}: {heading}" if place and len(heading.split()) < 3 else heading  # noqa: PLR2004
