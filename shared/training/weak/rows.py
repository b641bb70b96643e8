"""From texts in several languages to training rows: which language asks, and which answers. Pure."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from training.corpora import TrainingRow

LONGEST = 1500  # characters of a passage
MOST, MOST_ENGLISH = 700, 4500  # rows of a pair of languages, and of English alone
UNTITLED = 0.5  # share of passages whose title is left out


@dataclass(frozen=True)
class Entry:
    """A summary or heading, and the text that it stands for."""

    query: str
    passage: str
    title: str = ""


Entries = Mapping[str, Mapping[str, Entry]]
"""By what they say (a page, a package), then by language."""


def rows_of(
    source: str, entries: Entries, chance: random.Random, most_english: int = MOST_ENGLISH
) -> Iterator[TrainingRow]:
    """Rows in random order: a question in one language, a passage in the same or another."""
    often, made = Counter(one for by in entries.values() for one in by), Counter[tuple[str, str]]()
    for key in chance.sample(sorted(entries), len(entries)):
        by = entries[key]
        for pair in language_pairs(sorted(by), often, chance):
            if made[pair] < (most_english if pair == ("en", "en") else MOST):
                made[pair] += 1
                asked, found = by[pair[0]], by[pair[1]]
                yield TrainingRow(
                    query=" ".join(asked.query.split()),
                    passage=found.passage[:LONGEST],
                    title="" if chance.random() < UNTITLED else found.title,
                    answer="",
                    source=source,
                    language=pair[1],
                    query_language=pair[0],
                    key=key,
                )


def language_pairs(known: Sequence[str], often: Counter[str], chance: random.Random) -> list[tuple[str, str]]:
    """(Query's language, passage's): English, and two pairs that the rarer of two other languages is in."""
    found = [("en", "en")] if "en" in known else []
    others = [one for one in known if one != "en"]
    if others:
        own = min(chance.sample(others, min(2, len(others))), key=often.__getitem__)
        pairs = [(own, own), (own, chance.choice(others))]
        if "en" in known:
            pairs += [(own, "en"), ("en", own)]
        found += chance.sample(pairs, 2)
    return list(dict.fromkeys(found))
