"""Of a long text the part worth showing, and what of it is marked. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nvrerank.segmentation import Boundaries, Span

_NEAR = 20  # characters by which a cut moves back, to the end of a sentence or word


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
    boundaries = Boundaries(text)
    if start:
        start = boundaries.last(max(start - _NEAR, 0), start)
        start += len(text[start:end]) - len(text[start:end].lstrip())
    if end < len(text):
        end = boundaries.last(max(end - _NEAR, min(last, end)), end, floor=0)
        end = start + len(text[start:end].rstrip())
    return start, end
