"""Questions with one positive, hard negatives, and what a teacher thinks of both.

Candidates come from vectors and from BM25 over classes of pieces, among a source's own passages. The vectors
are those of any encoder: the base's at first, then the model's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.corpora import TrainingRow, plain

DEPTH = 30  # candidates of each retriever
KEPT = 40  # negatives of a question
FEWEST = 8  # negatives without which a question is left out
TWIN = 0.965  # cosine to the positive from which a passage may say the same

Vectors = npt.NDArray[np.float32]
Terms = Callable[[Sequence[str]], list[list[str]]]
_UNSEPARATED = re.compile(r"[\u3040-\u9fff\u0600-\u06ff]")


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
    """A question, its candidates (the positive first, then negatives, hardest first), and the teacher's view.

    Attributes:
        teacher: A number for each candidate; the higher, the more relevant.
    """

    query: str
    candidates: tuple[Passage, ...]
    teacher: tuple[float, ...]
    source: str
    languages: tuple[str, str] = ("en", "en")


def write_questions(questions: Iterable[Question], file: Path) -> None:
    """Writes JSON lines, so that a checkpoint can be calibrated without what it was trained by."""
    lines = (json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in questions)
    file.write_text("".join(lines), encoding="utf-8")


def read_questions(file: Path) -> list[Question]:
    """Reads what `write_questions` wrote."""
    found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [
        Question(
            one["query"],
            tuple(Passage(**passage) for passage in one["candidates"]),
            tuple(one["teacher"]),
            one["source"],
            (one["languages"][0], one["languages"][1]),
        )
        for one in found
    ]


def mine(
    rows: Sequence[TrainingRow], queries: Vectors, passages: Mapping[Passage, Vectors], terms: Terms
) -> list[Question]:
    """Mines one source; questions with too few negatives are left out.

    Args:
        rows: The source's.
        queries: A unit vector for each row's query.
        passages: A unit vector for each passage of the rows.
        terms: Texts to what BM25 counts.
    """
    pool = list(dict.fromkeys(Passage(row.title, row.passage) for row in rows))
    place = {passage: number for number, passage in enumerate(pool)}
    vectors = np.stack([passages[one] for one in pool])
    similar = queries @ vectors.T  # [rows, passages]
    lexical = bm25(terms([one.full for one in pool]), terms([row.query for row in rows]))
    same, kin = dict[str, set[int]](), dict[str, set[int]]()
    for row in rows:
        number = place[Passage(row.title, row.passage)]
        same.setdefault(plain(row.query), set()).add(number)
        kin.setdefault(row.key, set()).add(number)
    found = []
    for number, row in enumerate(rows):
        own = place[Passage(row.title, row.passage)]
        banned = same[plain(row.query)] | (kin[row.key] if row.key else set()) | {own}
        order = hardest(similar[number], lexical[number], DEPTH)
        near = vectors @ vectors[own] > TWIN
        chosen = [one for one in order if one not in banned and not near[one] and not holds(pool[one], row)]
        chosen = [own, *chosen[:KEPT]]
        if len(chosen) > FEWEST:
            teacher = 1.5 * standard(similar[number][chosen]) + standard(lexical[number][chosen])
            candidates = tuple(pool[one] for one in chosen)
            languages = (row.query_language, row.language)
            found.append(Question(row.query, candidates, tuple(teacher.tolist()), row.source, languages))
    return found


def bm25(passages: Sequence[Sequence[str]], queries: Sequence[Sequence[str]]) -> Vectors:
    """BM25 of every passage for every query: [queries, passages]."""
    import bm25s  # type: ignore[import-untyped]

    index = bm25s.BM25()
    index.index([list(one) for one in passages], show_progress=False)
    nothing = np.zeros(len(passages), np.float32)
    return np.stack([index.get_scores(list(one)) if one else nothing for one in queries]).astype(np.float32)


def hardest(meaning: Vectors, words: Vectors, depth: int) -> list[int]:
    """The best of both rankings, by the better of its two places."""
    ranks: dict[int, int] = {}
    for scores in (meaning, words):
        for rank, one in enumerate(np.argsort(-scores, kind="stable")[:depth].tolist()):
            ranks[one] = min(rank, ranks.get(one, rank))
    return sorted(ranks, key=ranks.__getitem__)


def holds(passage: Passage, row: TrainingRow) -> bool:
    """Whether a passage repeats the positive or holds the answer."""
    answer, text, positive = plain(row.answer), plain(passage.full), plain(row.passage)
    inside = bool(_UNSEPARATED.search(row.answer)) and row.answer in passage.text
    opening = positive[:60]
    return inside or bool(answer and f" {answer} " in f" {text} ") or bool(opening and opening in text)


def standard(values: Vectors) -> Vectors:
    """Mean 0 and deviation 1; all 0 where they are all the same."""
    spread = values.std()
    scaled: Vectors = (values - values.mean()) / spread if spread > 1e-6 else values * 0  # noqa: PLR2004
    return scaled
