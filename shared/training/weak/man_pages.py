"""Manual pages: the line that says what a thing does asks, the page's first long section answers."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from training.weak.rows import Entry

SHORTEST = 200  # characters of a section

_PLACE = re.compile(r"/man/(?:(?P<language>[a-z]{2})(?:_\w+)?(?:\.[^/]*)?/)?man\d/(?P<name>[^/]+)\.gz$")
_PURPOSE = re.compile(r"(?P<names>.{1,80}?)\s[-\u2013\u2014]+\s(?P<purpose>.{15,200})$")
_SECTION = re.compile(r"[.'](?:SH|Sh)\s+(.*)")
_SUBSECTION = re.compile(r"[.'](?:SS|Ss)\s+(.*)")
_MACRO = re.compile(r"[.'](?P<name>\w+)\s*(?P<rest>.*)")
_INLINE = set("B I BR RB IR RI BI IB SM SB Nm Nd Xr Ar Fl Cm Pa Em Sy Li Dq Sq Ql".split())  # noqa: SIM905
_BREAKS = {"PP", "P", "LP", "TP", "IP", "Pp", "HP"}
_ESCAPES = {
    "-": "-",
    "e": "\\",
    " ": " ",
    "~": " ",
    "`": "`",
    "'": "'",
    ".": ".",
    "(aq": "'",
    "(cq": "'",
    "(oq": "'",
    "(lq": '"',
    "(rq": '"',
    "(dq": '"',
    "(bu": "-",
    "(em": "-",
    "(en": "-",
    "(co": "(c)",
    "(rs": "\\",
    "[rs]": "\\",
}
_ESCAPE = re.compile(r"\\(?:\[u(?P<code>[0-9A-F]{4,5})\]|f(?:\(..|\[.*?\]|.)|s[-+]?\d+|\*?(\(..|\[.*?\]|.))")


def entries(pages: Iterable[Path]) -> dict[str, dict[str, Entry]]:
    """By the page's name and section."""
    found: dict[str, dict[str, Entry]] = {}
    for page in pages:
        place = _PLACE.search(page.as_posix())
        if place is None:
            continue
        roff = gzip.decompress(page.read_bytes()).decode("utf-8", "replace")
        entry = entry_of(roff)
        if entry is not None:
            found.setdefault(place["name"], {}).setdefault(place["language"] or "en", entry)
    return found


def entry_of(roff: str) -> Entry | None:
    """What a page is about, and its first long section after the synopsis; None: it has no such."""
    _, *given = sections(roff)
    if not given:
        return None
    name = " ".join(given[0][1].split())
    purpose = _PURPOSE.match(name)
    for _, text in given[1:]:
        if purpose and len(text) > SHORTEST and "#include" not in text[:60]:
            return Entry(purpose["purpose"], text, name.split()[0].rstrip(","))
    return None


def sections(roff: str) -> list[tuple[str, str]]:
    """A page's headings, the first of which is "", each with its text."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in roff.splitlines():
        heading = _SECTION.match(line)
        if heading:
            found.append((plain(heading[1].strip('" ')), []))
        else:
            found[-1][1].extend(_shown(line))
    return [(heading, re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()) for heading, lines in found]


def _shown(line: str) -> Iterator[str]:
    """What a line shows, where it shows something."""
    if line.startswith(('.\\"', "'\\\"")):
        return
    macro, subsection = _MACRO.match(line), _SUBSECTION.match(line)
    if subsection:
        yield f"\n{plain(subsection[1].strip(chr(34)))}\n"
    elif macro is None:
        yield plain(line)
    elif macro["name"] in _INLINE:
        spaced = macro["rest"] if macro["name"] in ("B", "I") else macro["rest"].replace('" "', "")
        yield plain(spaced.replace('"', ""))
    elif macro["name"] in _BREAKS:
        tagged = macro["name"] == "IP" and '"' in macro["rest"]
        yield "\n" + (plain(macro["rest"].split('"')[1]) if tagged else "")


def plain(text: str) -> str:
    """Text without roff's escapes: fonts and sizes are dropped, signs are put in."""

    def sign(escape: re.Match[str]) -> str:
        return chr(int(escape["code"], 16)) if escape["code"] else _ESCAPES.get(escape[2] or "", "")

    return _ESCAPE.sub(sign, text)
