"""Texts to the token ids that the model reads. Knows the tokenizer, no model."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from tokenizers import Tokenizer

QUERY, PASSAGE = "query:", "passage:"
"""What stands in front of a query and of a passage, as the base was trained."""

SPECIAL = 4
"""The first pieces of the vocabulary: beginning, padding, end, unknown."""


class Texts:
    """Encodes each text by itself as `<s> prefix text </s>`, cut at its end.

    Args:
        tokenizer: Any padding or truncation in it is switched off.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True
        self.tokenizer = tokenizer
        self.query_prefix, self.passage_prefix = (
            list(tokenizer.encode(prefix).ids[:-1]) for prefix in (QUERY, PASSAGE)
        )
        self._end: int = tokenizer.encode("").ids[-1]

    def queries(self, texts: Sequence[str], limit: int) -> list[list[int]]:
        """At most `limit` token ids each, prefix and end among them."""
        return self._encoded(texts, self.query_prefix, limit)

    def passages(self, texts: Sequence[str], limit: int) -> list[list[int]]:
        """The same of passages."""
        return self._encoded(texts, self.passage_prefix, limit)

    def _encoded(self, texts: Sequence[str], prefix: list[int], limit: int) -> list[list[int]]:
        room = limit - len(prefix) - 1
        found = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [[*prefix, *one.ids[:room], self._end] for one in found]


def piece_classes(tokenizer: Tokenizer) -> list[int]:
    """For each piece the first that differs in case, Latin accents and the word mark alone."""
    first: dict[str, int] = {}
    classes = []
    for number in range(tokenizer.get_vocab_size()):
        piece = tokenizer.id_to_token(number) or ""
        plain = unicodedata.normalize("NFKD", piece.replace("▁", "").casefold())
        key = "".join(one for one in plain if not "\u0300" <= one <= "\u036f")
        classes.append(number if number < SPECIAL else first.setdefault(key or piece, number))
    return classes


def silent_pieces(tokenizer: Tokenizer) -> list[int]:
    """Pieces that are never evidence: special ones, and those without a letter or a digit."""
    pieces = [tokenizer.id_to_token(n) or "" for n in range(tokenizer.get_vocab_size())]
    return [n for n, piece in enumerate(pieces) if n < SPECIAL or not any(map(str.isalnum, piece))]
