"""Debian's packages: their one-line descriptions ask, the long ones answer. Reads translation lists."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from training.weak.rows import Entry

SHORTEST_QUERY, SHORTEST_PASSAGE = 20, 150  # characters

_PARAGRAPH = re.compile(
    r"Package: (?P<package>\S+)\n(?:.+\n)*?Description-md5: (?P<digest>\S+)\n(?:.+\n)*?"
    r"Description-(?P<language>\w+): (?P<summary>.*)\n(?P<body>(?: .*\n?)+)"
)
_PARTS = re.compile(r"-(dev|doc|dbg|data|common|locale|l10n)\b|l10n|^lib.*\d")
"""Packages that repeat another one's description."""


def entries(lists: Iterable[Path]) -> dict[str, dict[str, Entry]]:
    """By the description's digest; of English ones that begin alike, one."""
    found: dict[str, dict[str, Entry]] = {}
    for file in lists:
        for one in map(_PARAGRAPH.match, file.read_text(encoding="utf-8").split("\n\n")):
            if one is None or _PARTS.search(one["package"]):
                continue
            lines = (line.strip() for line in one["body"].splitlines())
            body = "\n".join("" if line == "." else line for line in lines).strip()
            if len(one["summary"]) > SHORTEST_QUERY and len(body) > SHORTEST_PASSAGE:
                language = one["language"].partition("_")[0]
                found.setdefault(one["digest"], {}).setdefault(language, Entry(one["summary"].strip(), body))
    english = {by["en"].passage[:120]: digest for digest, by in found.items() if "en" in by}
    return {digest: _translated(found[digest]) for digest in english.values()}


def _translated(by: dict[str, Entry]) -> dict[str, Entry]:
    """Without translations that left the English in."""
    own = by["en"]
    return {
        language: one
        for language, one in by.items()
        if language == "en" or (one.query != own.query and one.passage != own.passage)
    }
