"""From a pair of texts to token ids, cut to what the model reads.

A tokenizer is used with fixed settings and one caller at a time: no truncation or padding of its
own, and text that spells a special token stays text.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from tokenizers import Encoding, Tokenizer

from nvrerank.errors import RequestRejectedError
from nvrerank.per_process import is_forked
from nvrerank.rulers import beginning, passage_share

# What can run together with the colon before it, or not: white space, signs, digits, letters of many scripts.
_PROBES = (
    "",
    " a",
    "a",
    ":",
    "::",
    ": a",
    "\n",
    "\n\n a",
    "\t",
    "  ",
    "1,000",
    "'s",
    "...",
    "é",
    "東京",
    "🙂",
    "<s>",
    "//",
)


_PROBE = "x"


class TokenPair(NamedTuple):
    """A query and a passage as one sequence of token ids.

    Attributes:
        ids: What the model reads, already cut.
        split: Where the passage's own segment begins; len(ids) where the model has one segment.
        whole: How many tokens there were before the cut.
    """

    ids: Sequence[int]
    split: int
    whole: int


def compact(pair: TokenPair) -> TokenPair:
    """The same with four bytes for each token id."""
    return pair._replace(ids=array("i", pair.ids))


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

    def frame(self, query: str) -> int:
        """Tokens of a pair beside those of its passage."""
        [pair] = self.encode(query, [_PROBE], sys.maxsize)
        return pair.whole - len(self.token_ends(_PROBE))

    def beginning(self, query: str, max_length: int) -> str | None:
        """What `encode` should be given of a query so that a passage keeps its share; None: all of it."""
        most = max_length - passage_share(max_length)
        return beginning(query, most, self.frame, self.token_ends)

    def token_ends(self, text: str) -> list[int]:
        """Where each token of a passage by itself ends, in characters, ascending."""
        [bare] = self._bare([text])
        return list(accumulate((end for _, end in bare.offsets), max))

    def _bare(self, texts: Sequence[str]) -> list[Encoding]:
        return self._encodings(texts, special=False)

    def _encodings(self, texts: Sequence[str], *, special: bool) -> list[Encoding]:
        if is_forked():  # the threads that a batch is shared out to are the parent's
            return [self._tokenizer.encode(text, add_special_tokens=special) for text in texts]
        return self._tokenizer.encode_batch(list(texts), add_special_tokens=special)


class PromptEncoder(PairEncoder):
    """NVIDIA's rerankers: one sequence from a prompt, the passage at its end."""

    def __init__(self, tokenizer: Tokenizer, prompt: str) -> None:
        super().__init__(tokenizer)
        self._prompt = prompt
        self._head, _, self._colon = prompt.removesuffix("{passage}").rpartition("passage")
        self._splits = self._can_split()

    def encode(self, query: str, passages: Sequence[str], max_length: int) -> list[TokenPair]:
        """As promised by `PairEncoder`."""
        frame = len(self._tokenizer.encode(self._prompt.format(query=query, passage="")).ids)
        _room(frame, max_length)
        every = self._in_two(query, passages) if self._splits else self._in_one(query, passages)
        return [TokenPair(ids[:max_length], min(len(ids), max_length), len(ids)) for ids in every]

    def _in_one(self, query: str, passages: Sequence[str]) -> Iterator[list[int]]:
        texts = [self._prompt.format(query=query, passage=passage) for passage in passages]
        return (encoding.ids for encoding in self._encodings(texts, special=True))

    def _in_two(self, query: str, passages: Sequence[str]) -> Iterator[list[int]]:
        """The query's part once: up to the prompt's last word, which a colon ends whatever follows it."""
        first = self._tokenizer.encode(self._head.format(query=query) + "passage").ids
        return (first + rest.ids for rest in self._bare([self._colon + passage for passage in passages]))

    def _can_split(self) -> bool:
        """Whether two parts have the whole's tokens: where words are parted first, as Llama 3's, they do."""
        if not self._prompt.endswith("passage:{passage}"):
            return False
        return all(
            list(self._in_two(one, _PROBES)) == list(self._in_one(one, _PROBES)) for one in _PROBES[:8]
        )


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
            f"the query takes {frame} of the {max_length} tokens that are read and leaves no room for a "
            "passage: shorten it, or give a larger max_length"
        )
    return max_length - frame
