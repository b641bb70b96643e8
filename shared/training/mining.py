"""Questions with one positive and hard negatives, found by both retrievers among their source's passages."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from nvrerank.evaluation.embedding import Embedder
from nvrerank.evaluation.retrieval import best, bm25
from training.corpora import TrainingRow

DEPTH = 40  # how far down each retriever's ranking negatives are taken from
POOL = 2500  # at most so many questions of a source, and their passages
QUESTIONS = {  # how many questions of each source are trained on; selqa is held out whole
    "squadshifts_new_wiki": 2500,
    "ottqa_hybridqa_dev": 2500,
    "stackexchange": 2500,
    "medquad": 2000,
    "squadshifts_reddit": 1200,
    "squadshifts_amazon_reviews": 1200,
}


@dataclass(frozen=True)
class Passage:
    """A passage with its title apart, so that training may leave the title out."""

    title: str
    text: str

    @property
    def full(self) -> str:
        """Title, then text."""
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True)
class Question:
    """A question, its positive and its negatives, hardest first, alternating between the retrievers."""

    query: str
    positive: Passage
    negatives: tuple[Passage, ...]
    source: str


def mine(
    rows: Sequence[TrainingRow], embedder: Embedder, *, depth: int = DEPTH, seed: int = 0
) -> list[Question]:
    """Mine one source; questions that neither retriever answers in its top `depth` are left out."""
    rows = sampled(rows, seed)
    pool = list(dict.fromkeys(Passage(row.title, row.passage) for row in rows))
    place = {passage: number for number, passage in enumerate(pool)}
    texts, queries = [passage.full for passage in pool], [row.query for row in rows]
    similar = embedder.queries(queries) @ embedder.passages(texts).T  # [queries, passages]
    by_meaning = (best(scores, depth) for scores in similar)
    answers: dict[str, set[Passage]] = {}
    for row in rows:
        answers.setdefault(plain(row.query), set()).add(Passage(row.title, row.passage))
    questions = []
    for row, words, meaning in zip(rows, bm25(texts, queries, depth), by_meaning, strict=True):
        positive = pool[place[Passage(row.title, row.passage)]]
        both = (one for pair in zip_longest(words, meaning) for one in pair if one is not None)
        order = list(dict.fromkeys(both))
        if place[positive] in order:
            twins = answers[plain(row.query)]  # the same question may have been asked twice
            found = negatives(row, positive, [pool[number] for number in order if pool[number] not in twins])
            questions.append(Question(row.query, positive, tuple(found), row.source))
    return questions


def sampled(rows: Sequence[TrainingRow], seed: int = 0) -> list[TrainingRow]:
    """Draw the rows of a source that training may see; the others stay unseen."""
    return random.Random(seed).sample(list(rows), min(POOL, len(rows)))


def negatives(row: TrainingRow, positive: Passage, candidates: Sequence[Passage]) -> list[Passage]:
    """Keep the candidates that are neither the positive, nor near copies of it, nor hold the answer."""
    answer, opening = plain(row.answer), plain(positive.text)[:60]
    return [
        candidate
        for candidate in candidates
        if candidate != positive
        and plain(candidate.text) != plain(positive.text)
        and not (opening and opening in plain(candidate.text))
        and not (answer and f" {answer} " in f" {plain(candidate.full)} ")
    ]


def plain(text: str) -> str:
    """Lower case, words and numbers alone, single spaces."""
    return " ".join(re.findall(r"\w+", text.lower()))
