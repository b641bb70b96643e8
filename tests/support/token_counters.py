"""Token counters whose counts a person can check."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nvrerank import Scorer
from nvrerank.token_counter import TokenCounter


class Words(TokenCounter):
    """A token is a word."""

    exact = True

    def __init__(self, room: int | None = None) -> None:
        self.room = room

    def counts(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def ends(self, text: str) -> list[int]:
        return [found.end() for found in re.finditer(r"\S+", text)]


class Bytes(TokenCounter):
    """A token is a byte, as for a tokenizer that knows none of the text's words."""

    exact = True

    def __init__(self, room: int | None = None) -> None:
        self.room = room

    def counts(self, texts: Sequence[str]) -> list[int]:
        return [len(text.encode()) for text in texts]

    def ends(self, text: str) -> list[int]:
        return [place for place, one in enumerate(text, start=1) for _ in one.encode()]


class Swelling(Bytes):
    """A text by itself has more tokens than it has within a longer one."""

    def counts(self, texts: Sequence[str]) -> list[int]:
        return [count + count // 7 + 2 for count in super().counts(texts)]


class ByWords(Scorer):
    """Scores a passage by the words it shares with the query; reads `room` words, the rest it cuts off."""

    def __init__(self, room: int = 8) -> None:
        self.room = room
        self.asked: list[list[str]] = []

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        self.asked.append(list(passages))
        wanted = set(query.split())
        return [
            float(sum(word.strip(".") in wanted for word in passage.split()[: self.room]))
            for passage in passages
        ]

    def token_counter(self, query: str) -> Words:
        return Words(self.room)
