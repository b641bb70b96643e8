"""The training rows: those of the data folder and of documentation. Knows files, no model."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SHINGLE = 10  # words, or letters where words are not separated
TAUGHT = "manuals"  # the source whose candidates teachers find and judge
SHARED, SHARED_TAUGHT = 0.3, 0.1  # of a passage's shingles in an evaluation set: it is too near

QUOTA = {
    "squadshifts_new_wiki": 8000,
    "ottqa_hybridqa_dev": 3000,
    "selqa": 2400,
    "stackexchange": 5300,
    "medquad": 6000,
    "squadshifts_reddit": 9000,
    "squadshifts_amazon_reviews": 9000,
    "jsquad": 9000,
    "cmrc2018": 4300,
    "arcd": 1395,
    "norquad": 944,
    "afriqa": 1080,
    "descriptions": 9200,
    "man_pages": 6700,
    "docstrings": 10300,
    "help": 7700,
    "books": 5200,
    TAUGHT: 9000,
}
"""How many questions of each source are used, at most."""

_UNSEPARATED = re.compile(r"[\u3040-\u9fff\u0e00-\u0e7f]")


@dataclass(frozen=True)
class TrainingRow:
    """One training question with the passage that answers it.

    Attributes:
        query: The question, in `query_language`.
        passage: What answers it, in `language`.
        title: Its title; "" where it has none.
        answer: The words that answer; "" where they are not known.
        source: The file that it comes from.
        key: What passages share that hold the same in other words or languages; "": nothing.
    """

    query: str
    passage: str
    title: str
    answer: str
    source: str
    language: str = "en"
    query_language: str = "en"
    key: str = ""

    @property
    def text(self) -> str:
        """The passage as retrievers and the model see it: title, then text."""
        return f"{self.title} {self.passage}".strip()


def read_rows(files: Iterable[Path]) -> Iterator[TrainingRow]:
    """Reads JSON lines; a question that has an English translation gives a second row.

    The parts of a set (`_test`, `_valid`) are one source.
    """
    for file in files:
        source = re.sub(r"_(test|valid|validation)$", "", file.stem)
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            title, passage = str(row["title"] or ""), str(row["positive"])
            if " [SEP] " in passage:  # JSQuAD has the title in it
                title, passage = passage.split(" [SEP] ", 1)
            asked = {row.get("qlang", row["lang"]): row["query"]}
            if row.get("query_en"):
                asked["en"] = row["query_en"]
            for language, query in asked.items():
                yield TrainingRow(
                    query=str(query),
                    passage=passage,
                    title=title,
                    answer=str(row.get("answer") or ""),
                    source=source,
                    language=row["lang"],
                    query_language=language,
                    key=str(row.get("key") or row.get("para") or ""),
                )


def write_rows(rows: Iterable[TrainingRow], file: Path) -> None:
    """Writes JSON lines as `read_rows` reads them; the file is there whole or not at all."""
    with file.with_suffix(".part").open("w", encoding="utf-8") as stream:
        for row in rows:
            fields = {
                "query": row.query,
                "positive": row.passage,
                "title": row.title,
                "answer": row.answer,
                "lang": row.language,
                "qlang": row.query_language,
                "key": row.key,
            }
            stream.write(json.dumps(fields, ensure_ascii=False) + "\n")
    file.with_suffix(".part").replace(file)


def evaluation_texts(folder: Path) -> tuple[list[str], list[str]]:
    """The passages and the questions of evaluation sets in BEIR's layout."""
    passages, questions = (
        [str(json.loads(line)["text"]) for file in sorted(folder.rglob(name)) for line in file.open()]
        for name in ("corpus*.jsonl", "queries*.jsonl")
    )
    return passages, questions


def apart(
    rows: Iterable[TrainingRow], passages: Iterable[str], questions: Iterable[str]
) -> Iterator[TrainingRow]:
    """Leaves out rows whose passage is near one of an evaluation set's, or whose question is asked there."""
    banned = set[int]().union(*map(shingles, passages))
    asked = set(map(plain, questions))
    for row in rows:
        own, most = shingles(row.passage), SHARED_TAUGHT if row.source == TAUGHT else SHARED
        if plain(row.query) not in asked and not (own and len(own & banned) > most * len(own)):
            yield row


def drawn(rows: Sequence[TrainingRow], seed: int = 11) -> list[TrainingRow]:
    """Draws each source's quota."""
    chance, found = random.Random(seed), list[TrainingRow]()
    for source, quota in QUOTA.items():
        own = [row for row in rows if row.source == source]
        found += chance.sample(own, min(quota, len(own)))
    return found


def plain(text: str) -> str:
    """Lower case, words and numbers alone, single spaces."""
    return " ".join(re.findall(r"\w+", text.lower()))


def shingles(text: str) -> set[int]:
    """Digests of all runs of so many words; of letters, where words are not separated."""
    units = list(re.sub(r"\W", "", text)) if _UNSEPARATED.search(text) else plain(text).split()
    return {hash(tuple(units[at : at + SHINGLE])) for at in range(max(0, len(units) - SHINGLE + 1))}
