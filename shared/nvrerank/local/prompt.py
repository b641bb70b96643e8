"""From a pair of texts to token ids, cut to what the model reads.

A tokenizer is used with fixed settings and one caller at a time: no truncation or padding of its
own, and text that spells a special token stays text.
"""

from __future__ import annotations

import re
import sys
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from tokenizers import Encoding, Tokenizer

from nvrerank.errors import RequestRejectedError
from nvrerank.per_process import is_forked
from nvrerank.token_counter import beginning, passage_share

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

QUERY, PASSAGE = "\0query\0", "\0passage\0"
"""Where the texts belong in the pieces of a prompt."""


class TokenPair(NamedTuple):
    """A query and a passage as one sequence of token ids.

    Attributes:
        ids: What the model reads, already cut.
        split: Where the passage's own segment begins; len(ids) where the model has one segment.
        whole: How many tokens there were before the cut.
        types: The tokenizer's token type for each of `ids`; empty: the model is given none.
    """

    ids: Sequence[int]
    split: int
    whole: int
    types: bytes = b""


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
    """Hugging Face's cross-encoders: the tokenizer's own template for a pair.

    Args:
        tokenizer: The model's.
        typed: Whether the model is given token types.
        prompt: What stands in front of each query.
        side: Where a passage is cut.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, typed: bool = True, prompt: str = "", side: str = "right"
    ) -> None:
        super().__init__(tokenizer)
        self._typed, self._prompt, self._side = typed, prompt, side

    def encode(self, query: str, passages: Sequence[str], max_length: int) -> list[TokenPair]:
        """As promised by `PairEncoder`."""
        first = self._bare([self._prompt + query])[0]
        frame = len(first) + self._tokenizer.num_special_tokens_to_add(is_pair=True)
        room = _room(frame, max_length)
        pairs = []
        for second in self._bare(passages):
            whole = frame + len(second)
            second.truncate(room, direction=self._side)
            joined = self._tokenizer.post_process(first, second)
            types = joined.type_ids
            split = types.index(1) if 1 in types else len(types)
            pairs.append(TokenPair(joined.ids, split, whole, bytes(types) if self._typed else b""))
        return pairs


class PiecesEncoder(PairEncoder):
    """Chat templates and the like: pieces that are tokenised apart, the passage inside one of them.

    What a template holds of the tokenizer's added tokens is structure; the same spelled in a text is text.

    Args:
        tokenizer: The model's.
        pieces: The prompt, with `QUERY` and `PASSAGE` where they belong.
        stripped: Whether the texts lose the white space around them.

    Raises:
        ValueError: `PASSAGE` does not occur once, or `QUERY` not at all.
    """

    def __init__(self, tokenizer: Tokenizer, pieces: Sequence[str], *, stripped: bool = False) -> None:
        super().__init__(tokenizer)
        whole = "".join(pieces)
        if whole.count(PASSAGE) != 1 or QUERY not in whole:
            raise ValueError("a prompt holds the query, and the passage once")
        self._stripped = stripped
        added = {
            token.content: (place, token) for place, token in tokenizer.get_added_tokens_decoder().items()
        }
        marks = "|".join(map(re.escape, sorted(added, key=len, reverse=True))) or r"(?!)"
        parts: list[str] = [part for piece in pieces for part in re.split(f"({marks})", piece) if part]
        self._marks = {part: added[part][0] for part in parts if part in added}
        for token in (added[part][1] for part in self._marks):
            if not token.special:  # it would be read in a text too
                token.special = True
                tokenizer.add_special_tokens([token])
        [place] = [place for place, part in enumerate(parts) if PASSAGE in part]
        self._before, self._after = parts[:place], parts[place + 1 :]
        self._left, self._right = parts[place].split(PASSAGE)

    def encode(self, query: str, passages: Sequence[str], max_length: int) -> list[TokenPair]:
        """As promised by `PairEncoder`."""
        query = query.strip() if self._stripped else query
        left, right = self._left.replace(QUERY, query), self._right.replace(QUERY, query)
        before, after = self._ids(self._before, query), self._ids(self._after, query)
        end = self._bare([right])[0].ids  # what a cut passage is followed by
        frame = len(before) + len(self._bare([left])[0]) + len(end) + len(after)
        _room(frame, max_length)
        texts = [passage.strip() for passage in passages] if self._stripped else passages
        pairs = []
        for text, middle in zip(texts, self._bare([left + text + right for text in texts]), strict=True):
            whole, ids = len(before) + len(middle) + len(after), middle.ids
            if whole > max_length:
                starts = [start for start, _ in middle.offsets]
                inside = bisect_left(starts, len(left) + len(text)) if right else len(ids)
                ids = ids[: min(inside, max_length - len(before) - len(end) - len(after))] + end
            pairs.append(TokenPair(before + ids + after, len(before) + len(ids) + len(after), whole))
        return pairs

    def _ids(self, parts: Sequence[str], query: str) -> list[int]:
        ids: list[int] = []
        for part in parts:
            mark = self._marks.get(part)
            ids += self._bare([part.replace(QUERY, query)])[0].ids if mark is None else [mark]
        return ids


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
