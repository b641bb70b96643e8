"""Questions with one positive, hard negatives, and what a teacher thinks of both.

Candidates come from vectors and from BM25 over classes of pieces, among a source's own passages. The vectors
are those of any encoder: the base's at first, then the model's own.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.corpora import TrainingRow, plain

FEWEST = 8  # negatives without which a question is left out
TWIN = 0.965  # cosine to the positive from which a passage may say the same
SHARPNESS = 20.0  # of teachers' cosines, to logits

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
        taught: Whether models gave those that judge better than which passage a row happens to name.
    """

    query: str
    candidates: tuple[Passage, ...]
    teacher: tuple[float, ...]
    source: str
    languages: tuple[str, str] = ("en", "en")
    taught: bool = False


@dataclass(frozen=True)
class Mining:
    """How candidates are chosen and judged.

    Attributes:
        depths: How many candidates the vectors give, and BM25.
        hard: How many of them are kept.
        drawn: How many others are drawn at random.
        above: Cosine above the positive's from which a candidate may be right.
        taught: Whether the vectors alone judge: they are those of teachers.
    """

    depths: tuple[int, int] = (30, 30)
    hard: int = 40
    drawn: int = 0
    above: float = math.inf
    taught: bool = False

    def teacher(self, similar: Vectors, lexical: Vectors) -> Vectors:
        """What is thought of candidates: of teachers' cosines alone, else of cosines and BM25."""
        if self.taught:
            return np.float32(SHARPNESS) * similar
        judged: Vectors = 1.5 * standard(similar) + standard(lexical)
        return judged


OWN = Mining()
TAUGHT = Mining(depths=(26, 22), hard=34, drawn=6, above=0.12, taught=True)


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
            one.get("taught", False),
        )
        for one in found
    ]


def mine(
    rows: Sequence[TrainingRow],
    queries: Vectors,
    passages: Mapping[Passage, Vectors],
    terms: Terms,
    way: Mining = OWN,
) -> list[Question]:
    """Mines one source; questions with too few negatives are left out.

    Args:
        rows: The source's.
        queries: A unit vector for each row's query.
        passages: A unit vector for each passage of the rows.
        terms: Texts to what BM25 counts.
        way: How candidates are chosen and judged.
    """
    chance = random.Random(9)
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
        right = (vectors @ vectors[own] > TWIN) | (similar[number] >= similar[number, own] + way.above)
        order = hardest(similar[number], lexical[number], way.depths)
        others = chance.sample(range(len(pool)), min(way.drawn, len(pool)))
        wrong = {one: not (one in banned or right[one] or holds(pool[one], row)) for one in (*order, *others)}
        negatives = [one for one in order if wrong[one]][: way.hard]
        if len(negatives) >= FEWEST:
            chosen = list(dict.fromkeys((own, *negatives, *(one for one in others if wrong[one]))))
            teacher = way.teacher(similar[number][chosen], lexical[number][chosen])
            candidates = tuple(pool[one] for one in chosen)
            languages = (row.query_language, row.language)
            judged = tuple(teacher.tolist())
            found.append(Question(row.query, candidates, judged, row.source, languages, way.taught))
    return found


def bm25(passages: Sequence[Sequence[str]], queries: Sequence[Sequence[str]]) -> Vectors:
    """BM25 of every passage for every query: [queries, passages]."""
    import bm25s  # type: ignore[import-untyped]

    index = bm25s.BM25()
    index.index([list(one) for one in passages], show_progress=False)
    nothing = np.zeros(len(passages), np.float32)
    return np.stack([index.get_scores(list(one)) if one else nothing for one in queries]).astype(np.float32)


def hardest(meaning: Vectors, words: Vectors, depths: tuple[int, int]) -> list[int]:
    """The best of both rankings, by the better of its two places."""
    ranks: dict[int, int] = {}
    for scores, depth in zip((meaning, words), depths, strict=True):
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
