"""Perl's manuals: POD to sections and items. Knows text, no files."""

from __future__ import annotations

import re
from collections.abc import Iterator

from training.weak.asking import Section

_COMMAND = re.compile(r"^=(head[1-4]|item)[ \t]+(.+)$", re.MULTILINE)
_DIRECTIVE = re.compile(r"^=[a-z]+.*$", re.MULTILINE)
_WIDE = re.compile(r"([A-Z])<<+\s(.{0,500}?)\s>>+", re.DOTALL)  # C<< $object->{name} >>
_NARROW = re.compile(r"([A-Z])<([^<>]{0,500})>")
_BULLET = re.compile(r"^(?:\*|\d+\.?)(?:\s+|$)")
_SIGNS = {"lt": "<", "gt": ">", "sol": "/", "verbar": "|"}
_NESTED = 3  # codes in codes


def sections(pod: str) -> Iterator[Section]:
    """Headings and items, each with its text; bullets have no heading."""
    _, *parts = _COMMAND.split(pod)
    for kind, heading, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        shown = _BULLET.sub("", plain(heading))
        yield Section(shown, plain(_DIRECTIVE.sub("", text)), item=kind == "item")


def plain(pod: str) -> str:
    """Text without formatting codes, in single spaces: a link shows its text, an index entry nothing."""
    text = _WIDE.sub(_shown, pod)
    for _ in range(_NESTED):
        text = _NARROW.sub(_shown, text)
    return " ".join(text.replace("\ue000", "<").replace("\ue001", ">").split())


def _shown(code: re.Match[str]) -> str:
    kind, inside = code[1], code[2]
    if kind == "E":
        sign = _SIGNS.get(inside, "")
    else:
        sign = "" if kind in "XZ" else inside.split("|")[0] if kind == "L" else inside
    return sign.replace("<", "\ue000").replace(">", "\ue001")  # no longer the sign of a code
