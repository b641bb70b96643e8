"""From a pair of texts to token ids, cut to what the model reads; passages counted by them.

A tokenizer is used with fixed settings and by one caller at a time: no truncation or padding of its own, and
text that spells a special token stays text. What stands around the texts is in `prompts`.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from copy import copy
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Encoding, Tokenizer

from nvrerank.errors import ModelLoadError, RequestRejectedError
from nvrerank.per_process import gate, is_forked
from nvrerank.token_counter import TokenCounter, beginning, passage_share

from .checkpoint import LARGEST, Config

_AT_ONCE = 256  # passages; a tokenizer's own records take a hundred bytes and more for each token
_ANY = ("PreTrainedTokenizerFast", "TokenizersBackend")  # transformers' class for any tokenizer.json


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


class Asked(NamedTuple):
    """A query that passages are to be paired with, tokenised.

    Attributes:
        frame: Tokens of a pair beside those of its passage.
        paired: Passages to pairs of at most so many tokens.
    """

    frame: int
    paired: Callable[[Sequence[str], int], list[TokenPair]]

    def pairs(self, passages: Sequence[str], max_length: int) -> list[TokenPair]:
        """Encodes each passage with the query, cut from the passage's end to max_length tokens.

        Raises:
            RequestRejectedError: The query alone leaves no room for a passage.
        """
        if self.frame >= max_length:
            raise RequestRejectedError(
                f"the query takes {self.frame} of the {max_length} tokens that are read and leaves no room "
                "for a passage: shorten it, or give a larger max_length"
            )
        return self.paired(passages, max_length)


def settled_tokenizer(tokenizer: Tokenizer) -> Tokenizer:
    """The same with the fixed settings, which transformers changes whenever it uses it."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


class PairEncoder(ABC):
    """Turns texts into `TokenPair`s."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = settled_tokenizer(tokenizer)

    @abstractmethod
    def ask(self, query: str) -> Asked:
        """Tokenises a query and what stands around it and a passage."""

    def instructed(self, instruction: str) -> PairEncoder | None:  # noqa: ARG002
        """One of the same tokenizer that also tells the model this; None: there is no place for it."""
        return None

    def encode(self, query: str, passages: Sequence[str], max_length: int) -> list[TokenPair]:
        """Asks a query of passages: see `Asked.pairs`."""
        return self.ask(query).pairs(passages, max_length)

    def token_ends(self, text: str) -> list[int]:
        """Where each token of a passage by itself ends, in characters, ascending."""
        [bare] = self._encodings([text])
        return list(accumulate((end for _, end in bare.offsets), max))

    def _encodings(self, texts: Sequence[str], *, special: bool = False) -> list[Encoding]:
        if is_forked():  # the threads that a batch is shared out to are the parent's
            return [self._tokenizer.encode(text, add_special_tokens=special) for text in texts]
        return self._tokenizer.encode_batch(list(texts), add_special_tokens=special)


class TemplateEncoder(PairEncoder):
    """Hugging Face's cross-encoders: the tokenizer's own template for a pair.

    Args:
        tokenizer: The model's.
        typed: Whether the model is given token types.
        prompt: What stands in front of each query.
        prompted: Whether its models know prompts there, so that an instruction may take its place.
        side: Where a passage is cut.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        typed: bool = True,
        prompt: str = "",
        prompted: bool = False,
        side: str = "right",
    ) -> None:
        super().__init__(tokenizer)
        self._typed, self._prompt, self._prompted, self._side = typed, prompt, prompted, side

    def instructed(self, instruction: str) -> PairEncoder | None:
        """As promised by `PairEncoder`."""
        if not self._prompted:
            return None
        twin = copy(self)
        twin._prompt = instruction  # noqa: SLF001 (its own class)
        return twin

    def ask(self, query: str) -> Asked:
        """As promised by `PairEncoder`."""
        [first] = self._encodings([self._prompt + query])
        frame = len(first) + self._tokenizer.num_special_tokens_to_add(is_pair=True)

        def paired(passages: Sequence[str], max_length: int) -> list[TokenPair]:
            pairs = []
            for second in self._encodings(passages):
                whole = frame + len(second)
                second.truncate(max_length - frame, direction=self._side)
                joined = self._tokenizer.post_process(first, second)
                types = joined.type_ids
                split = types.index(1) if 1 in types else len(types)
                pairs.append(TokenPair(joined.ids, split, whole, bytes(types) if self._typed else b""))
            return pairs

        return Asked(frame, paired)


class TwoInputEncoder(PairEncoder):
    """The bundled model: query and passage as two inputs of their own, side by side.

    Args:
        tokenizer: The model's.
        query_prefix: What stands in front of a query, by itself.
        passage_prefix: The same of a passage.
    """

    def __init__(self, tokenizer: Tokenizer, query_prefix: str = "", passage_prefix: str = "") -> None:
        super().__init__(tokenizer)
        ends = tokenizer.encode("").ids  # the special tokens around a text
        self._end = ends[-1:]
        self.heads = [ends[:-1] + one.ids for one in self._encodings([query_prefix, passage_prefix])]

    @classmethod
    def of(cls, tokenizer: Tokenizer, config: Config) -> TwoInputEncoder:
        """Reads the prefixes.

        Raises:
            ModelLoadError: config.json has other numbers of tokens for them.
        """
        sides = ("query_prefix", "passage_prefix")
        encoder = cls(tokenizer, *(str(config.values.get(side) or "") for side in sides))
        for side, head in zip(sides, encoder.heads, strict=True):
            if config.size(f"{side}_tokens", 1) != len(head):
                raise config.wrong(f"{side}_tokens", f"{len(head)}, as tokenizer.json has it")
        return encoder

    def ask(self, query: str) -> Asked:
        """As promised by `PairEncoder`."""
        [asked] = self._encodings([query])
        head, tail = [*self.heads[0], *asked.ids, *self._end, *self.heads[1]], self._end
        split, frame = len(head) - len(self.heads[1]), len(head) + len(tail)

        def paired(passages: Sequence[str], max_length: int) -> list[TokenPair]:
            room = max_length - frame
            return [
                TokenPair([*head, *one.ids[:room], *tail], split, frame + len(one))
                for one in self._encodings(passages)
            ]

        return Asked(frame, paired)


class LocalTokenCounter(TokenCounter):
    """Counts passages beside a query, by the model's own tokens, and makes the pairs that it scores.

    Args:
        encoder: The model's.
        query: The query.
        max_length: Tokens of query and passage together.
        turn: Held while the tokenizer is in use: it takes one caller at a time.
        stopped: Asked before each few passages.
        whole: Whether all of the query is asked with, however little room it leaves.
        keep: Whether pairs are kept, so that those of texts that were counted are not made twice.
    """

    exact = True

    def __init__(
        self,
        encoder: PairEncoder,
        query: str,
        max_length: int,
        turn: threading.Lock,
        *,
        stopped: Callable[[], bool] | None = None,
        whole: bool = False,
        keep: bool = False,
    ) -> None:
        self._encoder, self._max_length, self._turn, self._stopped = encoder, max_length, turn, stopped
        self._known: dict[str, TokenPair] | None = {} if keep else None
        with turn, gate:
            self._asked = encoder.ask(query)
            if not whole and self._asked.frame > max_length // 2:  # less always leaves a passage its share
                most = max_length - passage_share(max_length)
                self.query = beginning(query, most, lambda one: encoder.ask(one).frame, encoder.token_ends)
                if self.query is not None:
                    self._asked = encoder.ask(self.query)
        self.room = max_length - self._asked.frame

    def counts(self, texts: Sequence[str]) -> list[int]:
        """As promised by `TokenCounter`: what each passage adds to query and prompt."""
        chunks = (texts[start : start + _AT_ONCE] for start in range(0, len(texts), _AT_ONCE))
        return [pair.whole - self._asked.frame for chunk in chunks for pair in self.pairs(chunk)]

    def pairs(self, texts: Sequence[str]) -> list[TokenPair]:
        """The passages as the model reads them, with four bytes for each token id.

        Raises:
            CancelledError: `stopped` said so.
            RequestRejectedError: The query leaves no room for a passage.
        """
        known = self._known
        new = texts if known is None else [text for text in dict.fromkeys(texts) if text not in known]
        pairs: list[TokenPair] = []
        for start in range(0, len(new), _AT_ONCE):
            if self._stopped is not None and self._stopped():
                raise CancelledError
            with self._turn, gate:
                chunk = self._asked.pairs(new[start : start + _AT_ONCE], self._max_length)
            pairs += [pair._replace(ids=array("i", pair.ids)) for pair in chunk]
        if known is None:
            return pairs
        known.update(zip(new, pairs, strict=True))
        return [known[text] for text in texts]

    def ends(self, text: str) -> list[int]:
        """As promised by `TokenCounter`."""
        with self._turn, gate:
            return self._encoder.token_ends(text)


@dataclass(frozen=True)
class SavedTokenizer:
    """A folder's tokenizer and what its settings ask for, as transformers makes it of all its files.

    Attributes:
        backend: Texts to token ids; casing, normalisation and special tokens are in it.
        longest: Tokens of a pair (model_max_length).
        typed: Whether it gives token types: "yes", "no", or "usual" where the folder doesn't say.
        side: Where a text is cut that is too long.
        pad: The padding token's id; None: there is none.
        chats: Whether it has a chat template.
    """

    backend: Tokenizer
    longest: int = LARGEST
    typed: str = "usual"
    side: str = "right"
    pad: int | None = None
    chats: bool = False

    @classmethod
    def read(cls, folder: Path) -> SavedTokenizer:
        """Reads tokenizer.json, by transformers where tokenizer_config.json says more, without remote code.

        Raises:
            ImportError: transformers is not installed.
            ModelLoadError: A file is missing or can't be used.
        """
        file, settings = folder / "tokenizer.json", folder / "tokenizer_config.json"
        if not file.is_file():
            raise ModelLoadError(f"{file} is missing: save the model's fast tokenizer there")
        try:
            backend = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exception
            raise ModelLoadError(f"{file} is not a tokenizer: {error}") from error
        if not settings.is_file():
            return cls(backend)
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        except Exception as error:  # whatever transformers raises for files it can't use
            raise ModelLoadError(f"{settings}: transformers can't load this tokenizer: {error}") from error
        return cls.of(tokenizer, folder)

    @classmethod
    def of(cls, tokenizer: Any, folder: Path) -> SavedTokenizer:
        """Takes over a tokenizer of transformers.

        Its class for any tokenizer.json gave token types unless told otherwise; version 5 lost them
        (huggingface/transformers#48128), and models that were trained with them need them.

        Raises:
            ModelLoadError: It has no fast form.
        """
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise ModelLoadError(
                f"{folder / 'tokenizer.json'} is missing: save the model's fast tokenizer there"
            )
        file = folder / "tokenizer_config.json"
        told = file.is_file() and "model_input_names" in Config.read(file).values
        given = "token_type_ids" in tokenizer.model_input_names
        return cls(
            backend=backend,
            longest=min(int(tokenizer.model_max_length), LARGEST),
            typed="yes" if given else "usual" if type(tokenizer).__name__ in _ANY and not told else "no",
            side=tokenizer.truncation_side,
            pad=tokenizer.pad_token_id,
            chats=bool(tokenizer.chat_template),
        )

    def check(self, folder: Path, rows: int) -> None:
        """Refuses a tokenizer with a token that the embedding table, of so many rows, has no row for."""
        largest = max(self.backend.get_vocab(with_added_tokens=True).values(), default=-1)
        if largest >= rows:
            raise ModelLoadError(
                f"{folder / 'tokenizer.json'} has token id {largest}, the embedding table {rows} rows: "
                "they belong to different models"
            )

    def gives_types(self, file: Path, kinds: int) -> bool:
        """Whether a model with so many token types is given them.

        Raises:
            ModelLoadError: The tokenizer insists on a type that the model doesn't have.
        """
        largest = max(self.backend.encode("a", "b").type_ids, default=0)
        if self.typed == "yes" and largest >= kinds:
            raise ModelLoadError(
                f"{file}: type_vocab_size is {kinds}, the tokenizer gives token type {largest}: name the "
                "inputs in model_input_names of tokenizer_config.json"
            )
        return self.typed != "no" and largest < kinds
