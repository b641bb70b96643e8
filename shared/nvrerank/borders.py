"""Where a text may be cut: after a sentence, else a word, else between characters; and its windows. Pure."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from .texts import is_blank

# A full stop counts before white space only (3.14, nvrerank.local), an ideographic one always. Each run of
# stops is looked at once: the time is linear whatever the text.
_SENTENCE_END = re.compile(
    r"""(?:(?<![.!?…؟۔।])[.!?…؟۔।]++["'”’»)\]]*+(?=\s)|[。！？｡．]++[」』”’）]*+|[\r\n]+)"""  # noqa: RUF001
)
_WORD_END = re.compile(r"\s+|[、，､；：]")  # noqa: RUF001
_BLANK = re.compile(r"\s*")
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]{2}")  # two letters, each a character
_JOINER = "\u200d"
_LONGEST_CLUSTER = 32

Span = tuple[int, int]


class Borders:
    """A text's borders.

    Args:
        text: The text.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._sentences = [found.end() for found in _SENTENCE_END.finditer(text)]
        self._in_flags = {found.start() + 1 for found in _FLAG.finditer(text)}

    def last(self, least: int, most: int) -> int:
        """The last good place to cut, from `least` to `most` characters.

        Between two sentences if there is one, else between two words, else `most`, or shortly before where
        it would part what is seen as one character.
        """
        place = bisect_right(self._sentences, most) - 1
        if place >= 0 and self._sentences[place] >= least:
            return self._sentences[place]
        if self._text[most : most + 1].isspace():
            return most
        words = [found.end() for found in _WORD_END.finditer(self._text, least, most)]
        return words[-1] if words else self._between_characters(least, most)

    def _between_characters(self, least: int, most: int) -> int:
        for place in range(most, max(least, most - _LONGEST_CLUSTER), -1):
            neighbours = self._text[place - 1 : place], self._text[place : place + 1]
            if place not in self._in_flags and not _is_one(*neighbours):
                return place
        return most


def cut(text: str, ends: Sequence[int], borders: Borders, budget: int, overlap: int) -> Iterator[Span]:
    """Cuts a text into windows that overlap.

    A window ends after a sentence if one ends in its second half, else after a word, else anywhere. The next
    one begins at a sentence or word at least `overlap` tokens before, at most half as many more. White
    space around a window is left off; one that has nothing new that can be seen is left out.

    Args:
        text: The text.
        ends: Where each of its tokens ends, ascending.
        borders: Its borders.
        budget: Most tokens of a window, 1 or more.
        overlap: Least tokens that neighbours share, at most a quarter of the budget.

    Yields:
        Start and end of each window, in characters.
    """
    start, read, last = 0, 0, len(text.rstrip())
    while read < last:
        start = _BLANK.match(text, start).end()  # type: ignore[union-attr]  # it matches nothing too
        end = _end(text, ends, borders, start, budget)
        trimmed = start + len(text[start:end].rstrip())
        if not is_blank(text[max(start, read) : trimmed]):
            yield start, trimmed
        read = max(read, trimmed)
        start = _next_start(ends, borders, (start, end), overlap)


def _end(text: str, ends: Sequence[int], borders: Borders, start: int, budget: int) -> int:
    first = bisect_right(ends, start)
    if len(ends) - first <= budget:
        return len(text)
    middle = ends[first + budget // 2 - 1] if budget > 1 else start
    return borders.last(max(middle, start + 1), ends[first + budget - 1])


def _next_start(ends: Sequence[int], borders: Borders, window: Span, overlap: int) -> int:
    start, end = window
    if not overlap:
        return end
    last = bisect_right(ends, end) - 1
    latest = max(_start_of(ends, last - overlap + 1), start + 1)
    earliest = max(_start_of(ends, last - overlap - overlap // 2 + 1), start + 1)
    return borders.last(earliest, latest)


def _start_of(ends: Sequence[int], token: int) -> int:
    """Where a token can't have begun later."""
    earlier = bisect_left(ends, ends[max(token, 0)])
    return ends[earlier - 1] if earlier else 0


def _is_one(before: str, after: str) -> bool:
    """Whether two neighbours are seen as one character."""
    if not before or not after:
        return False
    return (
        _JOINER in (before, after)
        or unicodedata.category(after).startswith("M")
        or "\U0001f3fb" <= after <= "\U0001f3ff"  # the colour of a hand
        or "\U000e0020" <= after <= "\U000e007f"  # a tag: whose flag it is
        or before + after == "\r\n"
    )
