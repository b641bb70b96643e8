"""Of a long text the part worth showing, and what of it is marked. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

Span = tuple[int, int]

_NEAR = 20  # characters within which a cut moves to the border of a word
_JOINER = "\u200d"


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text.

    Attributes:
        text: The characters.
        mark: The position in `marks` of the mark they belong to; None: not marked.
    """

    text: str
    mark: int | None = None


def excerpt(text: str, marks: Sequence[Span] = (), *, length: int | None = None) -> list[Piece]:
    """Shortens a text around its first mark.

    Args:
        text: The text.
        marks: What to mark, as (start, end) in characters, the most important first. What lies outside
            the text is ignored; where two overlap, the one that begins first is shown.
        length: About how many characters to show; None: all.

    Returns:
        The pieces in order. An ellipsis stands where something was left out.
    """
    start, end = _shown(text, marks, length)
    found = pieces(text, marks, start, end)
    return [*([Piece("… ")] if start else []), *found, *([Piece(" …")] if end < len(text) else [])]


def pieces(text: str, marks: Sequence[Span], start: int, end: int) -> list[Piece]:
    """The characters from `start` to `end`, cut where a mark begins or ends."""
    found = []
    for number in sorted(range(len(marks)), key=lambda number: marks[number]):
        first, last = max(marks[number][0], start), min(marks[number][1], end)
        if first < last:
            found += [Piece(text[start:first]), Piece(text[first:last], number)]
            start = last
    return [piece for piece in [*found, Piece(text[start:end])] if piece.text]


def _shown(text: str, marks: Sequence[Span], length: int | None) -> Span:
    if length is None or len(text) <= length:
        return 0, len(text)
    within = ((first, min(last, len(text))) for first, last in marks if first >= 0)
    first, last = next((mark for mark in within if mark[0] < mark[1]), (0, 0))
    room = max(0, length - (last - first))
    end = min(len(text), max(0, first - room // 3) + length)
    start = max(0, end - length)
    return _word_start(text, start, first), _word_end(text, end, last)


def _word_start(text: str, place: int, most: int) -> int:
    """The start of a word near after `place`, but not behind `most`."""
    for near in range(place, min(place + _NEAR, most) + 1):
        if near == 0 or text[near - 1].isspace():
            return near
    return _between_characters(text, place)


def _word_end(text: str, place: int, least: int) -> int:
    """The end of a word near before `place`, but not before `least`."""
    for near in range(place, max(place - _NEAR, min(least, place)) - 1, -1):
        if near == len(text) or text[near].isspace():
            return near
    return _between_characters(text, place)


def _between_characters(text: str, place: int) -> int:
    """A place that doesn't part a letter from its accent or an emoji from its other half."""
    while 0 < place < len(text) and (_goes_on(text[place]) or text[place - 1] == _JOINER):
        place -= 1
    return place


def _goes_on(sign: str) -> bool:
    return (
        sign == _JOINER or unicodedata.category(sign).startswith("M") or "\U0001f3fb" <= sign <= "\U0001f3ff"
    )
