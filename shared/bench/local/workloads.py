"""What is scored: real text from Python's own documentation. Standard library only: every worker reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

QUERY = "how do I make a class iterable so that a for loop can go over its items?"
QUERIES = (
    QUERY,
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
Job = tuple[str, list[str]]


@dataclass(frozen=True)
class Workload:
    """Queries with their passages, and the checkpoint that scores them.

    Attributes:
        name: How the command line calls it.
        title: How the report calls it.
        checkpoint: A name in `checkpoints.SHAPES`.
        jobs: (query, passages) each.
        tuned_as: The workload on which the peers' best settings are looked for; itself unless it is too long.
    """

    name: str
    title: str
    checkpoint: str
    jobs: tuple[Job, ...]
    tuned_as: str

    @property
    def rehearsal(self) -> Workload:
        """What best settings are looked for on: every fourth passage where there are many, of all lengths."""
        if sum(len(texts) for _query, texts in self.jobs) < MANY:
            return self
        jobs = tuple((query, texts[::4]) for query, texts in self.jobs)
        return replace(self, name=f"{self.name}, a fourth", jobs=jobs)


def passages(count: int, *, words: int = TYPICAL_WORDS, start: int = 0) -> list[str]:
    """Passages of ordinary length, 0.6 to 1.4 times `words`, from the word `start` on; no two overlap."""
    return cut([words * (6 + number % 9) // 10 for number in range(count)], start=start)


def cut(lengths: Sequence[int], *, start: int = 0) -> list[str]:
    """Texts of so many words, one after the other, from the word `start` on; after the last the first."""
    text = _words()
    texts = []
    for length in lengths:
        texts.append(" ".join(text[place % len(text)] for place in range(start, start + length)))
        start += length
    return texts


@cache
def _words() -> list[str]:
    from pydoc_data.topics import topics

    return " ".join(topics[name] for name in sorted(topics)).split()


def _many(queries: int, each: int) -> tuple[Job, ...]:
    return tuple((QUERIES[number], passages(each, start=number * 4_400)) for number in range(queries))


def workloads() -> dict[str, Workload]:
    """All of them, by name."""
    uneven = [*passages(23, words=40), *passages(1, words=420)]
    all_of_them = (
        _of("minilm-1x100", "MiniLM, 1 query x 100 passages", ((QUERY, passages(100)),)),
        _of("minilm-1x24", "MiniLM, 1 query x 24, one of them long", ((QUERY, uneven),)),
        _of("minilm-10x40", "MiniLM, 10 queries x 40 passages", _many(10, 40), tuned_as="minilm-1x100"),
        _of("llama-40", "Llama 1B shape, 40 passages", ((QUERY, passages(40)),)),
        _of("llama-long", "Llama 1B shape, 5 documents to 4k tokens", ((QUERY, cut(LONG)),)),
        _of("mistral-40", "Mistral shape, 40 passages", ((QUERY, passages(40)),)),
    )
    return {workload.name: workload for workload in all_of_them}


def _of(name: str, title: str, jobs: tuple[Job, ...], *, tuned_as: str | None = None) -> Workload:
    return Workload(name, title, name.partition("-")[0], jobs, tuned_as or name)
