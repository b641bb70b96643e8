"""Where a text's sentences end, whatever its language. Pure.

The full stops of all scripts are Unicode's (Sentence_Terminal in UAX #29), as the `regex` package knows them,
which is opened at the first use. Whether one ends a sentence is a guess, since the language isn't known, and
errs towards too few ends: two sentences taken for one do less harm than half a one. Thai and Lao have no full
stop, but a space after a sentence as within one: there a space ends it after 40 characters.

The rules are our own since `sentencex` has to be told the language: told English, it cuts German, Spanish,
French and Russian after their abbreviations. Nor do short lines and a table's rows end one there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

_LEAST_WRAPPED = 40  # characters; a shorter line was ended on purpose
_LEAST_PHRASE = 40  # characters, of Thai and Lao
_LONGEST_UNKNOWN = 4  # letters of a word that may be an abbreviation we don't know
_NEAR = 40  # characters around a full stop that are looked at: the time is linear whatever the text

_LATIN_STOPS = ".!?…"
_STOP = r"""
    (?<![.!?…]) [.!?…]++ [\p{Pe}\p{Pf}\p{Pi}"'*_]*+ (?:\[\d{1,3}\])*+ (?=\s|\Z)  # not in `3.14`, `os.path`
  | (?:[\p{Sentence_Terminal}--[.!?．]]++ | ．(?!\d)) [\p{Pe}\p{Pf}"']*+  # nothing needs to follow
  | (?<=[\p{Han}\p{Hiragana}\p{Katakana}]) [!?]++ (?=[\p{Han}\p{Hiragana}\p{Katakana}])
  | (?<=[\p{Thai}\p{Lao}]) (?=\s+[\p{Thai}\p{Lao}])
"""
_LINE_START = re.compile(r"\s*(?P<marker>\||(?:[-*+•⁃>#]+|\(?(?:\d{1,3}|[A-Za-z])[.)])\s+)?")
_FIRST_WORD = re.compile(r"\S*")
_BULLETS = r"[\s*+•⁃#>-]*+"
_BEGINNING = re.compile(_BULLETS + r"(?P<letter>.?)", re.DOTALL)
_ITEM = re.compile(_BULLETS + r"(?:\d+|[ivx]+|[^\W\d_])", re.IGNORECASE)  # the number of a list's item
_OPENING = re.compile(r"[\s(\[\"'“‘«„»¿¡*_–—-]*+")
_LAST_WORD = re.compile(r"(?<!\w)(?:[^\W\d_]\.\s?)*[^\s(\[\"'’“‘«„/]*\Z")  # `Dr`, `U.S`, `z. B`
_INITIALS = re.compile(r"[^\W\d_](?:\.\s?[^\W\d_])*")
_INITIAL = re.compile(r"[^\W\d_]{1,2}\.")
_ORDINAL = re.compile(r"\b(?i:am|der|das|dem|den|des|im|vom|zum|zur|beim|ab|seit|bis)\s\d+\Z")  # German's


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# In lower case and without spaces; of all languages together, since it isn't known which is read.
_BEFORE_NAMES = _words(
    "mr mrs ms mx dr prof st sen rep gov pres gen col maj capt cmdr lt sgt rev hon messrs mt ft vs cf viz"
    " approx ca e.g i.e eg ie resp hr frl bzw z.b u.a d.h i.d.r z.z z.t o.ä s.o s.u v.a i.a incl inkl zzgl"
    " ggf evtl vgl mio mrd sog dipl ing med phil jur geb kath ev str tel mme mlle mm p.ex p.ej ej es sr sra"
    " sres srta dra ud uds lic avda ee sig dott avv geom mgr inż św ul skt dhr mevr drs o.a napr např np"
    " т.е т.к г гг ул проф акад см пр стр"
)
_BEFORE_NUMBERS = _words(
    "no nos nr nº n° num núm fig figs abb eq eqs sec sect ch chap cap vol vols p pp pág págs s art arts ed"
    " tab bd ext с рис табл"
)
_MID_OR_END = _words(
    "etc usw inc ltd co corp llc bros jr esq al dept univ assn est min max avg a.m p.m am pm u.ä т.д т.п др"
    " jan feb mar apr jun jul aug ago sep sept set oct nov dec mon lun tue wed thu fri sat sun ave blvd rd"
)
_STARTERS = _words(
    "The A An This That These Those It Its He She They We You I In On At As If But And Or So When While After"
    " Before However There Then Their His Her Our For From With What Why How Who Where Did Do Does Is Are"
    " Der Die Das Es Er Sie Wir Ich Im Dann Le La Les Il Elle Un Une El Los Las En"
)


def ends(text: str) -> Iterator[int]:
    """Where sentences end, in characters, ascending: before the white space that follows, or after a line.

    A blank line, an indentation that changes, a list's next item, a table's next row and a line that stops
    short of its neighbours end one; so does a full stop, unless it belongs to an abbreviation, an initial or
    a number.

    Args:
        text: Any text; lines end as on Unix, Windows or the old Mac.
    """
    for start, end in _blocks(text):
        begun = start
        for found in _stops().finditer(text, start, end):
            if _is_end(text, begun, found.span(), end):
                yield found.end()
                begun = found.end()
        yield end


@cache
def _stops() -> Any:
    import regex

    return regex.compile(_STOP, regex.VERSION1 | regex.VERBOSE)


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Lines that belong together because each was wrapped into the next."""
    lines = text.splitlines(keepends=True)
    start = end = 0
    for number, line in enumerate(lines):
        end += len(line)
        if not _goes_on(lines, number):
            if not line.isspace():
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


def _is_end(text: str, start: int, stop: tuple[int, int], end: int) -> bool:
    """Whether what looks like the end of the sentence that begins at `start` is one."""
    mark, before = text[slice(*stop)], text[max(start, stop[0] - _NEAR) : stop[0]]
    if not mark:
        return stop[0] - start >= _LEAST_PHRASE
    following = _OPENING.sub("", text[stop[1] : min(end, stop[1] + _NEAR)], count=1)
    if not following:
        return True
    if mark[0] not in _LATIN_STOPS:
        quoted = mark[-1] in "」』" and following.startswith(("と", "って"))  # said so
        return not quoted and before.rfind("《") <= before.rfind("》")  # a title
    if following[0] in _LATIN_STOPS or before.endswith("["):
        return False  # `. . .`, `[...]`
    begins = _BEGINNING.match(text, start, start + _NEAR)
    capital = begins is None or not begins["letter"].islower()
    if following[0].islower() and (len(mark) > 1 or mark == "…" or (mark != "." and capital)):
        return False  # `"Why?" he asked`, `wait... no`, `at Yahoo! in`
    return mark[0] != "." or mark[:2] == ".." or _full_stop_ends(before, following, capital=capital)


def _full_stop_ends(before: str, following: str, *, capital: bool) -> bool:
    """Whether a full stop between them ends the sentence; `capital`: this began with one."""
    found = _LAST_WORD.search(before)
    word = "".join(found[0].split()) if found else ""
    key, lower = word.lower(), following[0].islower()
    starts = following.split(maxsplit=1)[0].rstrip(",") in _STARTERS
    if _ITEM.fullmatch(before) or key in _BEFORE_NAMES or (len(key) == 1 and _INITIAL.match(following)):
        return False
    if key in _BEFORE_NUMBERS and following[0].isdigit():
        return False
    if key in _MID_OR_END:
        return following[0].isupper()
    if key.isdigit():
        return starts or not (lower or _ORDINAL.search(before))  # `3. mai`, `am 3. Mai`
    if word != "I" and not word.islower() and _INITIALS.fullmatch(word):
        return starts  # `J. R. R. Tolkien`, `the U.S. The`
    unknown = len(key) <= _LONGEST_UNKNOWN or ("." in word and not word.islower())
    return not (lower and capital and unknown)
