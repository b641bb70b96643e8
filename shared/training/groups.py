"""The pairs of token ids that a step trains on, drawn from a question's candidates."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nvrerank.local.bundled.network import Pair, TwoSegmentEncoder
from training.mining import Question
from training.texts import Texts

WITHOUT_TITLE = 0.4  # how often a question's candidates are shown without their titles
NEGATIVES = 7
HARDEST = 12  # four of the negatives come from so many at the top, the others from all
DOUBT = 4.0  # logits above the positive from which a negative is not trusted to be one
SOFT, SOFT_TAUGHT = 0.1, 0.75
"""The teacher's share of the listwise loss, and that of teachers who know better than the rows."""
POINTWISE_TAUGHT = 0.4
"""What such a question's pointwise term counts: more than one of its candidates may be right."""
LIMITS = (96, 128, 128, 160, 192, 224)  # tokens of a passage


@dataclass(frozen=True)
class Group:
    """One question's pairs, the positive first, and the teacher's number for each.

    Attributes:
        soft: The teacher's share of the listwise loss.
        pointwise: What the pointwise term is multiplied by.
    """

    pairs: list[Pair]
    teacher: list[float]
    soft: float = SOFT
    pointwise: float = 1.0


def group(
    question: Question, texts: Texts, chance: random.Random, model: TwoSegmentEncoder | None = None
) -> Group:
    """Draws one training group: the positive, then negatives, some of the hardest and some of all.

    Args:
        question: What is asked, and its candidates.
        texts: Encodes them.
        chance: What is drawn by.
        model: Says which are the hardest; None: those that retrieval put first.
    """
    hard = drawn(question, chance, 4, HARDEST) if model is None else picked(question, texts, chance, model)
    rest = [one for one in range(1, len(question.candidates)) if one not in hard]
    chosen = [0, *hard, *chance.sample(rest, min(NEGATIVES - len(hard), len(rest)))]
    return shown(question, texts, chosen, chance.choice(LIMITS), titles=chance.random() >= WITHOUT_TITLE)


def drawn(question: Question, chance: random.Random, count: int, hardest: int) -> list[int]:
    """So many of the negatives at the top, at most all there are."""
    top = range(1, min(hardest + 1, len(question.candidates)))
    return chance.sample(top, min(count, len(top)))


def picked(
    question: Question, texts: Texts, chance: random.Random, model: Callable[[list[Pair]], Tensor]
) -> list[int]:
    """Of 15 negatives the five that the model puts highest; one far above the positive may be right."""
    pool = drawn(question, chance, 9, 16)
    rest = [one for one in range(1, len(question.candidates)) if one not in pool]
    pool += chance.sample(rest, min(15 - len(pool), len(rest)))
    with torch.no_grad():
        positive, *others = model(shown(question, texts, [0, *pool], LIMITS[0]).pairs).tolist()
    doubtless = [(score, one) for score, one in zip(others, pool, strict=True) if score < positive + DOUBT]
    return [one for _, one in sorted(doubtless, reverse=True)[:5]]


def shown(question: Question, texts: Texts, chosen: list[int], limit: int, *, titles: bool = True) -> Group:
    """The chosen candidates as the model reads them, cut to so many tokens."""
    candidates = [question.candidates[one] for one in chosen]
    [query] = texts.queries([question.query], 64)
    passages = texts.passages([one.full if titles else one.text for one in candidates], limit)
    trust = (SOFT_TAUGHT, POINTWISE_TAUGHT) if question.taught else (SOFT, 1.0)
    return Group([(query, one) for one in passages], [question.teacher[one] for one in chosen], *trust)
