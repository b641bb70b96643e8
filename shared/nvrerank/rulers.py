"""How long a passage is in tokens, beside one query. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate


class Ruler(ABC):
    """Counts passages in tokens, beside one query.

    Attributes:
        room: Tokens that the model reads of a passage beside this query and its prompt; None: not known.
        exact: Whether these are the model's own tokens; else they are estimated.
    """

    room: int | None = None
    exact: bool = False

    @abstractmethod
    def counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens that each passage takes beside the query."""

    @abstractmethod
    def ends(self, text: str) -> list[int]:
        """Where each token of a passage ends, in characters from its start, ascending.

        Several tokens may end at one character (the bytes of an emoji), and there may be characters
        that belong to no token.
        """


class EstimatedRuler(Ruler):
    """Estimates tokens by the kind of each character, rather too many than too few.

    0.5 for a space, 0.45 for a to z, 0.9 for A to Z, 1 for any other of ASCII, 1.25 up to U+07FF, 1.5 up to
    U+FFFF, 4 beyond: never more than the text's bytes in UTF-8. Of 4,120 texts in 12 languages, prose and
    tables of 100 characters or more, none had more tokens by the vocabulary of Llama 3 or Mistral; English
    prose has half as many. Columns of bare numbers had 8 % more by Mistral's.

    Args:
        context: Tokens of query and passage together; None: not known.
        query: The query.
    """

    def __init__(self, context: int | None = None, query: str = "") -> None:
        if context is not None:
            self.room = context - PROMPT - self._count(query)

    def counts(self, texts: Sequence[str]) -> list[int]:
        """As promised by `Ruler`."""
        return [self._count(text) for text in texts]

    def ends(self, text: str) -> list[int]:
        """As promised by `Ruler`."""
        return list(_ends(text))

    def _count(self, text: str) -> int:
        twentieths = sum(_twentieths(character) * times for character, times in Counter(text).items())
        return -(-twentieths // 20)


PROMPT = 32
"""Tokens set aside for a prompt or template; NVIDIA's takes 10."""

_LAST_OF_TWO_BYTES, _LAST_OF_THREE = "\u07ff", "\uffff"


def _ends(text: str) -> Iterator[int]:
    before = 0
    for place, twentieths in enumerate(accumulate(map(_twentieths, text))):
        tokens = -(-twentieths // 20)
        if tokens > before > 0:
            yield place
        yield from [place + 1] * (tokens - before - 1)
        before = tokens
    if text:
        yield len(text)


@lru_cache(maxsize=4096)
def _twentieths(character: str) -> int:
    """Of a token."""
    if character.isascii():
        return 10 if character == " " else 9 if character.islower() else 18 if character.isupper() else 20
    if character <= _LAST_OF_TWO_BYTES:
        return 25
    return 30 if character <= _LAST_OF_THREE else 80
