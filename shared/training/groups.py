"""The pairs of token ids that a step trains on, drawn from a question's candidates."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nvrerank.local.bundled.network import Pair
from training.mining import Question
from training.texts import Texts

WITHOUT_TITLE = 0.4  # how often a question's candidates are shown without their titles
NEGATIVES = 7
HARDEST = 12  # half of the negatives come from so many at the top, the others from all
DOUBT = 4.0  # logits above the positive from which a negative is not trusted to be one
SOFT, SOFT_TAUGHT = 0.1, 0.75
"""The teacher's share of the listwise loss, and that of teachers who know better than the rows."""
POINTWISE_TAUGHT = 0.4
"""What such a question's pointwise term counts: more than one of its candidates may be right."""
LIMITS = (96, 128, 128, 160, 192, 224)  # tokens of a passage

Scores = Callable[[list[Pair]], Tensor]  # the model that learns: a logit for each pair


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


def drawn_groups(
    questions: Sequence[Question],
    texts: Texts,
    chances: Sequence[random.Random],
    scores: Scores | None = None,
    negatives: int = NEGATIVES,
) -> list[Group]:
    """Draws training groups: each the positive, then negatives, some of the hardest and some of all.

    Args:
        questions: What is asked, and the candidates.
        texts: Encodes them.
        chances: What each question's candidates are drawn by.
        scores: Says which are the hardest; None: those that retrieval put first.
        negatives: How many of them a group has.
    """
    if scores is None:
        found = [
            top(one, chance, (negatives + 1) // 2, HARDEST)
            for one, chance in zip(questions, chances, strict=True)
        ]
    else:
        found = picked(questions, texts, chances, scores, negatives)
    groups = []
    for question, chance, hard in zip(questions, chances, found, strict=True):
        chosen = [0, *hard, *others(question, chance, hard, negatives - len(hard))]
        limit, titles = chance.choice(LIMITS), chance.random() >= WITHOUT_TITLE
        groups.append(shown(question, texts, chosen, limit, titles=titles))
    return groups


def top(question: Question, chance: random.Random, count: int, hardest: int) -> list[int]:
    """So many of the negatives that retrieval put first, at most all there are."""
    first = range(1, min(hardest + 1, len(question.candidates)))
    return chance.sample(first, min(count, len(first)))


def others(question: Question, chance: random.Random, chosen: Sequence[int], count: int) -> list[int]:
    """So many further negatives, at most all there are."""
    rest = [one for one in range(1, len(question.candidates)) if one not in chosen]
    return chance.sample(rest, min(count, len(rest)))


def picked(
    questions: Sequence[Question],
    texts: Texts,
    chances: Sequence[random.Random],
    scores: Scores,
    negatives: int = NEGATIVES,
) -> list[list[int]]:
    """All but two of each question's negatives: of twice as many those that get the highest scores.

    One far above the positive may be right, and is not taken.
    """
    pools = []
    for question, chance in zip(questions, chances, strict=True):
        pool = top(question, chance, negatives + 2, 16)
        pools.append([0, *pool, *others(question, chance, pool, 2 * negatives + 1 - len(pool))])
    seen = [shown(one, texts, pool, LIMITS[0]).pairs for one, pool in zip(questions, pools, strict=True)]
    with torch.no_grad():
        found = scores([pair for pairs in seen for pair in pairs]).tolist()
    hard = []
    for pool in pools:
        own, found = found[: len(pool)], found[len(pool) :]
        doubtless = [pair for pair in zip(own[1:], pool[1:], strict=True) if pair[0] < own[0] + DOUBT]
        hard.append([one for _, one in sorted(doubtless, reverse=True)[: negatives - 2]])
    return hard


def shown(question: Question, texts: Texts, chosen: list[int], limit: int, *, titles: bool = True) -> Group:
    """The chosen candidates as the model reads them, cut to so many tokens."""
    candidates = [question.candidates[one] for one in chosen]
    [query] = texts.queries([question.query], 64)
    passages = texts.passages([one.full if titles else one.text for one in candidates], limit)
    trust = (SOFT_TAUGHT, POINTWISE_TAUGHT) if question.taught else (SOFT, 1.0)
    return Group([(query, one) for one in passages], [question.teacher[one] for one in chosen], *trust)
