"""Texts to the pairs of token ids that the model reads. Knows the tokenizer, no model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from training.mining import Passage, Question

Pair = tuple[list[int], list[int]]
WITHOUT_TITLE = 0.4  # how often a question's candidates are shown without their titles
NEGATIVES = 7
HARDEST = 10  # three of the negatives come from so many at the top, the others from all


@dataclass(frozen=True)
class Texts:
    """Encodes each text alone as `[CLS] text [SEP]`, cut at its end."""

    tokenizer: Tokenizer

    @classmethod
    def from_file(cls, path: Path) -> Texts:
        """Read a `tokenizer.json`; any padding or truncation in it is switched off."""
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return cls(tokenizer)

    def ids(self, text: str, limit: int) -> list[int]:
        """Return at most `limit` token ids, the last of them `[SEP]`."""
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]

    def numbers(self, tokens: Sequence[str]) -> list[int]:
        """Return the ids of those of the tokens that the vocabulary has."""
        found = (self.tokenizer.token_to_id(token) for token in tokens)
        return [number for number in found if number is not None]


def group(
    question: Question, texts: Texts, chance: random.Random, *, negatives: int = NEGATIVES
) -> list[Pair]:
    """Draw one training group: the positive first, then negatives, some of the hardest and some of all."""
    hardest, others = question.negatives[:HARDEST], question.negatives[HARDEST:]
    drawn = chance.sample(hardest, min(len(hardest), 3))
    drawn += chance.sample(others, min(len(others), negatives - len(drawn)))
    titles = chance.random() >= WITHOUT_TITLE
    limit = chance.choice((96, 128, 160, 160, 192, 256))
    shown = [_shown(passage, titles=titles) for passage in (question.positive, *drawn)]
    first = texts.ids(question.query, 64)
    return [(first, texts.ids(text, limit)) for text in shown]


def _shown(passage: Passage, *, titles: bool) -> str:
    return passage.full if titles else passage.text
