"""Where a text may be cut: between sentences, words, or graphemes, which are seen as one character. Pure.

Graphemes are Unicode's extended clusters (UAX #29), as the `regex` package finds them.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property

from . import sentence_ends
from .texts import is_blank

Span = tuple[int, int]

_SPACE = re.compile(r"\s*")
# `\\X` alone would look back over all flags before each flag
_GRAPHEME = r"\p{RI}{2}[\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}]*+|\X"
_WORD_END = re.compile(r"\s+|[、，､；：]")  # noqa: RUF001


def split(text: str) -> list[Span]:
    """(start, end) of the sentences that tile a text, each with the white space after it, in characters."""
    spans, start = [], 0
    for place in (*sentence_ends.ends(text), len(text)):
        end = _skip_space(text, place)
        if end > start:
            spans.append((start, end))
            start = end
    return spans


def sentences(text: str) -> list[Span]:
    """The sentences of a text without white space around them; none that can't be seen.

    Together they hold every character that can be seen.
    """
    spans = (_trimmed(text, *span) for span in split(text))
    return [(start, end) for start, end in spans if not is_blank(text[start:end])]


class Boundaries:
    """Where a text may be cut."""

    def __init__(self, text: str) -> None:
        self._text = text

    def last(self, least: int, most: int, *, floor: int | None = None) -> int:
        """The last good place to cut, from `least` to `most` characters.

        Between two sentences if there is one, else between two words, else `most`, or before the grapheme
        that this would part, unless that begins before `floor` (None: `least`).
        """
        for place in self._places(least, most):
            if self.grapheme_start(place) == place:
                return place
        start = self.grapheme_start(most)
        return start if start >= (least if floor is None else floor) else most

    def _places(self, least: int, most: int) -> Iterator[int]:
        number = bisect_right(self._sentence_ends, most) - 1
        if number >= 0 and self._sentence_ends[number] >= least:
            yield self._sentence_ends[number]
        if self._text[most : most + 1].isspace():
            yield most
        yield from [found.end() for found in _WORD_END.finditer(self._text, least, most)][:-2:-1]

    def grapheme_start(self, place: int) -> int:
        """Where the grapheme begins that a cut at `place` would part; `place`: it would part none."""
        number = bisect_right(self._graphemes, place, key=lambda span: span[0]) - 1
        start, end = self._graphemes[number] if number >= 0 else (place, place)
        return start if place < end else place

    @cached_property
    def _sentence_ends(self) -> list[int]:
        return [_trimmed(self._text, *span)[1] for span in split(self._text)]

    @cached_property
    def _graphemes(self) -> list[Span]:
        """Those of several characters."""
        if self._text.isascii() and "\r" not in self._text:
            return []
        import regex

        return [found.span() for found in regex.finditer(_GRAPHEME, self._text) if len(found[0]) > 1]


def cut_windows(
    text: str, ends: Sequence[int], boundaries: Boundaries, budget: int, overlap: int
) -> Iterator[Span]:
    """Cuts a text into windows that overlap.

    A window ends after a sentence if one ends in its second half, else after a word, else between
    graphemes; within one only if it is too long for a window. The next one begins at a sentence or word at
    least `overlap` tokens before, at most half as many more. White space around a window is left off; one
    that has nothing new that can be seen is left out.

    Args:
        text: The text.
        ends: Where each of its tokens ends, ascending.
        boundaries: Where it may be cut.
        budget: Most tokens of a window, 1 or more.
        overlap: Least tokens that neighbours share, at most a quarter of the budget.

    Yields:
        Start and end of each window, in characters.
    """
    start, read, last = 0, 0, len(text.rstrip())
    while read < last:
        start = _skip_space(text, start)
        end = _window_end(text, ends, boundaries, start, budget)
        trimmed = start + len(text[start:end].rstrip())
        if not is_blank(text[max(start, read) : trimmed]):
            yield start, trimmed
        start = _next_start(ends, boundaries, (start, end), overlap) if end > read else read
        read = max(read, trimmed)


def _window_end(text: str, ends: Sequence[int], boundaries: Boundaries, start: int, budget: int) -> int:
    first = bisect_right(ends, start)
    if len(ends) - first <= budget:
        return len(text)
    middle = ends[first + budget // 2 - 1] if budget > 1 else start
    return boundaries.last(max(middle, start + 1), ends[first + budget - 1], floor=start + 1)


def _next_start(ends: Sequence[int], boundaries: Boundaries, window: Span, overlap: int) -> int:
    start, end = window
    if not overlap:
        return end
    last = bisect_right(ends, end) - 1
    latest = max(_start_of(ends, last - overlap + 1), start + 1)
    earliest = max(_start_of(ends, last - overlap - overlap // 2 + 1), start + 1)
    return boundaries.last(earliest, latest, floor=start + 1)


def _start_of(ends: Sequence[int], token: int) -> int:
    """Where a token can't have begun later."""
    earlier = bisect_left(ends, ends[max(token, 0)])
    return ends[earlier - 1] if earlier else 0


def _skip_space(text: str, place: int) -> int:
    return _SPACE.match(text, place).end()  # type: ignore[union-attr]  # it matches nothing too


def _trimmed(text: str, start: int, end: int) -> Span:
    inner = text[start:end].rstrip()
    return start + len(inner) - len(inner.lstrip()), start + len(inner)
