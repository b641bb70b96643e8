"""From a pair of texts to token ids, cut to what the model reads.

A tokenizer is used with fixed settings and one caller at a time: no truncation or padding of its
own, and text that spells a special token stays text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from tokenizers import Encoding, Tokenizer

from nvrerank.errors import RequestRejectedError


class TokenPair(NamedTuple):
    """A query and a passage as one sequence of token ids.

    Attributes:
        ids: What the model reads, already cut.
        split: Where the passage's own segment begins; len(ids) where the model has one segment.
        whole: How many tokens there were before the cut.
    """

    ids: list[int]
    split: int
    whole: int


class PairEncoder(ABC):
    """Turns texts into `TokenPair`s."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer

    @abstractmethod
    def encode(self, query: str, passages: Sequence[str], max_length: int) -> list[TokenPair]:
        """Encodes each passage with the query, cut from the passage's end to max_length tokens.

        Raises:
            RequestRejectedError: The query alone leaves no room for a passage.
        """

    def _bare(self, texts: Sequence[str]) -> list[Encoding]:
        return self._tokenizer.encode_batch(list(texts), add_special_tokens=False)


class PromptEncoder(PairEncoder):
    """NVIDIA's rerankers: one sequence from a prompt, the passage at its end."""

    def __init__(self, tokenizer: Tokenizer, prompt: str) -> None:
        super().__init__(tokenizer)
        self._prompt = prompt

    def encode(self, query: str, passages: Sequence[str], max_length: int) -> list[TokenPair]:
        """As promised by `PairEncoder`."""
        texts = [self._prompt.format(query=query, passage=passage) for passage in passages]
        frame = len(self._tokenizer.encode(self._prompt.format(query=query, passage="")).ids)
        _room(frame, max_length)
        return [
            TokenPair(ids[:max_length], min(len(ids), max_length), len(ids))
            for ids in (encoding.ids for encoding in self._tokenizer.encode_batch(texts))
        ]


class TemplateEncoder(PairEncoder):
    """Hugging Face's cross-encoders: the tokenizer's own template for a pair."""

    def encode(self, query: str, passages: Sequence[str], max_length: int) -> list[TokenPair]:
        """As promised by `PairEncoder`."""
        first = self._bare([query])[0]
        frame = len(first) + self._tokenizer.num_special_tokens_to_add(is_pair=True)
        room = _room(frame, max_length)
        pairs = []
        for second in self._bare(passages):
            whole = frame + len(second)
            second.truncate(room)
            joined = self._tokenizer.post_process(first, second)
            types = joined.type_ids
            split = types.index(1) if 1 in types else len(types)
            pairs.append(TokenPair(joined.ids, split, whole))
        return pairs


class TwoInputEncoder(PairEncoder):
    """The embedded model: query and passage as two inputs of their own, side by side."""

    def encode(self, query: str, passages: Sequence[str], max_length: int) -> list[TokenPair]:
        """As promised by `PairEncoder`."""
        first = self._tokenizer.encode(query).ids
        frame = len(first) + self._tokenizer.num_special_tokens_to_add(is_pair=False)
        room = _room(frame, max_length)
        pairs = []
        for second in self._bare(passages):
            whole = frame + len(second)
            second.truncate(room)
            pairs.append(TokenPair(first + self._tokenizer.post_process(second).ids, len(first), whole))
        return pairs


def _room(frame: int, max_length: int) -> int:
    """Tokens that a passage may have beside the query and the template's own."""
    if frame >= max_length:
        raise RequestRejectedError(
            f"the query takes {frame} of the {max_length} tokens the model reads and leaves no room for "
            "a passage: shorten it"
        )
    return max_length - frame
