"""Texts at the door: checked once, made safe, never changed in meaning. Pure."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import lru_cache

# Unicode's Default_Ignorable_Code_Point beyond category Cf (DerivedCoreProperties.txt), and what else has an
# empty glyph: the blank Braille pattern, a null notehead, Khitan's filler, hieroglyphs' blanks.
_EMPTY = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff\u2800\U0001d159\U00016fe4\U00013441\U00013442]"
)
# Prepended_Concatenation_Mark: signs around numbers, which are seen although their category is Cf.
_SEEN = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")

_HALVES = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def clean_query(query: str, *, blank: bool = False) -> str:
    """Checks a query, and replaces lone surrogates by U+FFFD.

    Raises:
        TypeError: It is not a string.
        ValueError: It is blank, and `blank` does not allow that.
    """
    if not isinstance(query, str):
        raise TypeError(f"query must be a str, not {type(query).__name__}")
    if is_blank(query) and not blank:
        raise ValueError("query is blank: ask something")
    return query if query.isascii() else encodable(query)


def clean_instruction(instruction: str) -> str:
    """Checks what a model is told of its task, and replaces lone surrogates by U+FFFD.

    Raises:
        TypeError: It is not a string.
        ValueError: It is blank.
    """
    if not isinstance(instruction, str):
        raise TypeError(f"instruction must be a str, not {type(instruction).__name__}")
    if is_blank(instruction):
        raise ValueError("instruction is blank: leave it out, or say what the passages are wanted for")
    return encodable(instruction)


def clean_passages(passages: Iterable[str]) -> list[str]:
    """Checks passages and takes them out of any iterable, once; lone surrogates become U+FFFD.

    Raises:
        TypeError: It is one string, bytes or a mapping, or an item is not a string.
    """
    if isinstance(passages, str | bytes | Mapping) or not isinstance(passages, Iterable):
        raise TypeError(f"passages must be a list of str, not one {type(passages).__name__}")
    texts = []
    for index, text in enumerate(passages):
        if not isinstance(text, str):
            raise TypeError(f"passages[{index}] must be a str, not {type(text).__name__}")
        texts.append(text if text.isascii() else encodable(text))
    return texts


def clean_call(query: str, passages: Iterable[str]) -> tuple[str, list[str]]:
    """Checks what a scorer itself is asked: as `rerank` asks it, or directly.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The query or a passage is blank: there is no score for nothing.
    """
    texts = clean_passages(passages)
    for index, text in enumerate(texts):
        if is_blank(text):
            raise ValueError(f"passages[{index}] is blank: leave it out, or call rerank, which ranks it last")
    return clean_query(query), texts


def is_blank(text: str) -> bool:
    """Whether there is nothing to score: no character that leaves a mark on paper, and no image beside it.

    White space, controls, zero-width and other format characters, variation selectors, fillers and all else
    that Unicode has ignored by default leave none.
    """
    return not (any(map(_is_visible, text)) or getattr(text, "image", None))  # a `Passage` may have one


@lru_cache(maxsize=4096)
def _is_visible(character: str) -> bool:
    category = unicodedata.category(character)
    if category == "Cf":
        return _SEEN.match(character) is not None
    return category not in ("Cc", "Zs", "Zl", "Zp") and _EMPTY.match(character) is None


def encodable(text: str) -> str:
    """The text as UTF-8 can hold it: surrogate halves that belong together joined, lone ones U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def span_before_cleaning(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """Characters of `encodable(text)` as characters of the text itself, where halves may still be apart."""
    joined = [found.start() - before for before, found in enumerate(_HALVES.finditer(text))]
    start, end = (edge + bisect_left(joined, edge) for edge in span)
    return start, end
