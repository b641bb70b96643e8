"""What is scored: real text from Python's own documentation. Standard library only: every worker reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pydoc_data.topics import topics

QUERIES = (
    "how do I make a class iterable so that a for loop can go over its items?",
    "what does the with statement do when the block raises?",
    "how are default arguments evaluated?",
    "when is __del__ called?",
    "what is the difference between is and ==?",
    "how does a generator receive a value?",
    "which names does import * bind?",
    "how do format specifications align text in a field?",
    "can an except clause catch several kinds of exceptions at once?",
    "what may be on the left of an assignment?",
)
TYPICAL_WORDS = 110  # of Python's documentation: 190 WordPiece tokens on average
LONG = (500, 900, 1400, 1900, 2400)  # words; the last is about 4,000 tokens of Llama's
MANY = 100
QueryGroup = tuple[str, list[str]]
"""A query and its passages."""


@dataclass(frozen=True)
class Workload:
    """Queries with their passages, and the checkpoint that scores them."""

    name: str  # on the command line
    title: str  # in the report
    checkpoint: str  # a name in `checkpoints.CHECKPOINTS`
    groups: tuple[QueryGroup, ...]
    tuned_as: str  # the workload that the peers' best settings are looked for on; itself unless too long

    @property
    def tuning_part(self) -> Workload:
        """What best settings are looked for on: every fourth passage where there are many, of all lengths."""
        if sum(len(texts) for _query, texts in self.groups) < MANY:
            return self
        groups = tuple((query, texts[::4]) for query, texts in self.groups)
        return replace(self, name=f"{self.name}, a fourth", groups=groups)


def documentation(count: int, *, words: int = TYPICAL_WORDS, start: int = 0) -> list[str]:
    """Passages of ordinary length, 0.6 to 1.4 times `words`, from the word `start` on; no two overlap."""
    return consecutive([words * (6 + number % 9) // 10 for number in range(count)], start=start)


def consecutive(lengths: Sequence[int], *, start: int = 0) -> list[str]:
    """Texts of so many words, one after the other, from the word `start` on; after the last the first."""
    words, texts = _words(), []
    for length in lengths:
        texts.append(" ".join(words[place % len(words)] for place in range(start, start + length)))
        start += length
    return texts


@cache
def _words() -> list[str]:
    return " ".join(topics[name] for name in sorted(topics)).split()


def workloads() -> dict[str, Workload]:
    """All of them, by name."""
    uneven = [*documentation(23, words=40), *documentation(1, words=420)]
    ten = (documentation(40, start=number * 4_400) for number in range(10))
    found = (
        _of("minilm-1x100", "MiniLM, 1 query x 100 passages", documentation(100)),
        _of("minilm-1x24", "MiniLM, 1 query x 24, one of them long", uneven),
        _of("minilm-10x40", "MiniLM, 10 queries x 40 passages", *ten, tuned_as="minilm-1x100"),
        _of("llama-40", "Llama 1B shape, 40 passages", documentation(40)),
        _of("llama-long", "Llama 1B shape, 5 documents to 4k tokens", consecutive(LONG)),
        _of("mistral-40", "Mistral shape, 40 passages", documentation(40)),
    )
    return {workload.name: workload for workload in found}


def _of(name: str, title: str, *passages: list[str], tuned_as: str | None = None) -> Workload:
    groups = tuple(zip(QUERIES, passages, strict=False))  # as many queries as there are lists
    return Workload(name, title, name.partition("-")[0], groups, tuned_as or name)
