"""Where a text's sentences begin and end. Pure.

A guess that errs towards too few ends: two sentences taken for one do less harm than half a one. It
knows English abbreviations, the full stops of the larger scripts, wrapped lines, lists, Markdown's tables
and code. It doesn't know an abbreviation of another language, nor Thai, which has no full stops.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .texts import is_blank

_LEAST_WRAPPED = 40  # characters; a shorter line was ended on purpose

_CLOSING = r"[\"'”’»)\]}」』）】》〉｣]*+"
_LATIN_END = rf"(?<![.!?…])[.!?…]++{_CLOSING}(?=\s|\Z)"  # `3.14` and `os.path` go on
_OTHER_END = rf"(?:[。！？｡؟۔।॥։።။។]++|．(?!\d)){_CLOSING}"  # nothing needs to follow
_HAN_OR_KANA = r"[\u3040-\u30ff\u3400-\u9fff]"
_END = re.compile(rf"{_LATIN_END}|{_OTHER_END}|(?<={_HAN_OR_KANA})[!?]++(?={_HAN_OR_KANA})")

_LINE_START = re.compile(r"\s*(?P<marker>\||(?:[-*+•>#]+|\(?(?:\d{1,3}|[A-Za-z])[.)])\s+)?")
_FIRST_WORD = re.compile(r"\S*")
_OPENING = re.compile(r"\A[\s(\[\"'“‘«]*+")
_SPACE = re.compile(r"\s*")
_BETWEEN_WORDS = re.compile(r"[\s(\[\"'“‘«]")
_LETTERS = re.compile(r"[^\W\d_](?:\.[^\W\d_])*")  # an initial, or several: `J`, `U.S`


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BEFORE_NAMES = _words(
    "mr mrs ms mx dr prof st sen rep gov pres gen col maj capt cmdr lt sgt rev hon messrs mt ft vs cf viz"
    " approx ca e.g i.e eg ie resp incl bzw z.b vgl p.ex"
)
_BEFORE_NUMBERS = _words("no nos nr fig figs eq eqs sec sect ch chap vol vols p pp art ed tab")
_MID_OR_END = _words(
    "etc inc ltd co corp llc bros jr sr esq al dept univ assn est min max avg a.m p.m am pm"
    " jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun ave blvd rd"
)
_STARTERS = _words(
    "The A An This That These Those It Its He She They We You I In On At As If But And Or So When While"
    " After Before However There Then Their His Her Our For From With What Why How Who Where"
)


def sentences(text: str) -> list[tuple[int, int]]:
    """Finds the sentences of a text.

    A blank line, an indentation that changes, a list's next item, a table's next row and a line that stops
    short of its neighbours end one; so does a full stop, unless it belongs to an abbreviation, an initial or
    a number.

    Args:
        text: Any text; lines end as on Unix, Windows or the old Mac.

    Returns:
        (start, end) of each sentence, in characters: in order, apart, without white space at either
        end, together holding every character that can be seen. Empty for a blank text.
    """
    return [span for block in _blocks(text) for span in _in_block(text, *block)]


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Lines that belong together because each was wrapped into the next, as (start, end)."""
    lines = text.splitlines(keepends=True)
    start = end = 0
    for number, line in enumerate(lines):
        end += len(line)
        if not _goes_on(lines, number):
            yield start, end
            start = end


def _goes_on(lines: list[str], number: int) -> bool:
    """Whether a line is prose that was wrapped into the next: its first word had no room here."""
    line, following = lines[number].rstrip(), "".join(lines[number + 1 : number + 2]).rstrip()
    if len(line) < _LEAST_WRAPPED or not following:
        return False
    here, there = _LINE_START.match(line), _LINE_START.match(following)
    if here is None or there is None or there["marker"] or here.end() != there.end():
        return False
    before = lines[number - 1].rstrip() if number else ""
    widest = max(len(line), len(following), len(before))
    word = _FIRST_WORD.match(following, there.end())
    return word is not None and len(line) + 1 + len(word[0]) > widest


def _in_block(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for found in _END.finditer(text, start, end):
        if _ends(text, start, found, end):
            yield from _trimmed(text, start, found.end())
            start = found.end()
    yield from _trimmed(text, start, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The span without white space around it; nothing if nothing is left that can be seen."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if not is_blank(text[start:end]):
        yield start, end


def _ends(text: str, start: int, found: re.Match[str], end: int) -> bool:
    """Whether what looks like the end of a sentence is one."""
    following = _OPENING.sub("", text[found.end() : min(end, found.end() + 30)], count=1)
    if not following or found[0][0] not in ".!?…":
        return True
    if following[0].islower() and (len(found[0]) > 1 or found[0] == "…"):
        return False  # `"Why?" he asked`, `wait... no`
    if found[0] != ".":
        return True
    word = _last_word(text[max(start, found.start() - 30) : found.start()])
    opened = _SPACE.match(text, start)
    return _stop_ends(word, following, opens=opened is not None and opened.end() + len(word) == found.start())


def _last_word(text: str) -> str:
    return _BETWEEN_WORDS.split(text)[-1]


def _stop_ends(word: str, following: str, *, opens: bool) -> bool:
    """Whether a full stop after `word` ends the sentence; `opens`: the sentence has only this word."""
    key = word.lower()
    if key in _BEFORE_NAMES:
        return False
    if key in _BEFORE_NUMBERS:
        return not following[0].isdigit()
    if key in _MID_OR_END:
        return following[0].isupper()
    if key.isdigit():
        return not opens and not following[0].islower()  # `1. First`, `am 3. mai`
    if word != "I" and not word.islower() and _LETTERS.fullmatch(word):
        return following.split(maxsplit=1)[0].rstrip(",") in _STARTERS  # `J. R. R. Tolkien`, `the U.S. The`
    return True
