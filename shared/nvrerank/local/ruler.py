"""Passages counted as a model on this machine reads them."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from nvrerank.token_counter import TokenCounter

from .forking import gate
from .prompt import PairEncoder

_AT_ONCE = 256  # texts, whose token ids are held until they are counted


class LocalTokenCounter(TokenCounter):
    """Counts passages beside a query, by the model's own tokens.

    Args:
        encoder: The model's.
        query: The query.
        max_length: Tokens of query and passage together.
        turn: Held while the tokenizer is in use: it takes one caller at a time.
    """

    exact = True

    def __init__(self, encoder: PairEncoder, query: str, max_length: int, turn: threading.Lock) -> None:
        self._encoder = encoder
        self._max_length = max_length
        self._turn = turn
        with turn, gate:
            self.query = encoder.beginning(query, max_length)
            self._query = query if self.query is None else self.query
            self._frame = encoder.frame(self._query)
        self.room = max_length - self._frame

    def counts(self, texts: Sequence[str]) -> list[int]:
        """As promised by `TokenCounter`: what each passage adds to query and prompt."""
        whole: list[int] = []
        for start in range(0, len(texts), _AT_ONCE):
            whole += self._whole(texts[start : start + _AT_ONCE])
        return [length - self._frame for length in whole]

    def ends(self, text: str) -> list[int]:
        """As promised by `TokenCounter`."""
        with self._turn, gate:
            return self._encoder.token_ends(text)

    def _whole(self, texts: Sequence[str]) -> list[int]:
        with self._turn, gate:
            return [pair.whole for pair in self._encoder.encode(self._query, texts, self._max_length)]
