"""Cascade: a cheap scorer cuts a long list, a strong one orders what is left."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from nvrerank._checks import checked_integer
from nvrerank.scorer import Scored, Scorer, ScoreSource

from .composed import Composed, reindexing


class _KeptPassages(NamedTuple):
    """Places of the passages that the strong scorer reads, and of the others, best first."""

    kept: list[int]
    cut: list[int]
    cheap: Sequence[Scored]


class Cascade(Composed):
    """Lets a cheap scorer choose the passages that a strong one scores.

    The `keep` passages that the cheap scorer likes best go to the strong one. What it cut stands below them,
    in its own order, whatever their scores, also where the order is fused; its numbers are places below the
    least of the strong scorer's, no scores of either. No threshold lets a cut passage pass. `Ranked.cut` and
    `Ranked.source` tell which is which. With `keep` passages or fewer the cheap scorer is not asked.

    Which passages are kept depends on the others of the call, so that `Cached` does not take it: cache the
    scorers within.

    Args:
        cheap: What reads all passages.
        strong: What reads those that were kept; scale, threshold and token counts are its.
        keep: How many.

    Attributes:
        cheap: As given.
        strong: As given.
        keep: As given.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: `keep` is less than 1.
    """

    def __init__(self, cheap: Scorer, strong: Scorer, *, keep: int = 50) -> None:
        super().__init__(strong=strong, cheap=cheap)
        self.cheap = cheap
        self.strong = strong
        self.keep = checked_integer("keep", keep, least=1)

    @property
    def name(self) -> str:
        """The names of both."""
        return f"{self.cheap.name}, then {self.strong.name}"

    @property
    def listwise(self) -> bool:
        """Always."""
        return True

    def _score(self, query: str, passages: Sequence[str]) -> list[Scored]:
        choice = self._choice(passages, self.cheap.score_clean(query, self._long(passages)))
        with reindexing([choice.kept]):
            scored = self.strong.score_clean(query, [passages[place] for place in choice.kept])
        return self._merged(choice, scored)

    async def _ascore(self, query: str, passages: Sequence[str]) -> list[Scored]:
        choice = self._choice(passages, await self.cheap.ascore_clean(query, self._long(passages)))
        with reindexing([choice.kept]):
            scored = await self.strong.ascore_clean(query, [passages[place] for place in choice.kept])
        return self._merged(choice, scored)

    def _score_many(self, calls: Sequence[tuple[str, Sequence[str]]]) -> list[list[Scored]]:
        """One call of each scorer for all queries."""
        cheap = self.cheap.score_many_clean([(query, self._long(texts)) for query, texts in calls])
        choices = [self._choice(texts, scored) for (_, texts), scored in zip(calls, cheap, strict=True)]
        pairs = list(zip(calls, choices, strict=True))
        with reindexing([choice.kept for choice in choices]):
            answers = self.strong.score_many_clean(
                [(query, [texts[place] for place in choice.kept]) for (query, texts), choice in pairs]
            )
        return [self._merged(choice, scored) for choice, scored in zip(choices, answers, strict=True)]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.cheap!r}, {self.strong!r}, keep={self.keep})"

    def _long(self, passages: Sequence[str]) -> Sequence[str]:
        """What the cheap scorer reads: all, or nothing where nothing is to be cut."""
        return passages if len(passages) > self.keep else ()

    def _choice(self, passages: Sequence[str], cheap: Sequence[Scored]) -> _KeptPassages:
        if not cheap:
            return _KeptPassages(list(range(len(passages))), [], cheap)
        order = sorted(range(len(cheap)), key=lambda place: cheap[place].logit, reverse=True)
        return _KeptPassages(sorted(order[: self.keep]), order[self.keep :], cheap)

    def _merged(self, choice: _KeptPassages, scored: Sequence[Scored]) -> list[Scored]:
        strong, cheap = self.strong, self.cheap
        own = ScoreSource(strong.name, strong.scale, strong.calibrated)
        told = [one if one.source else replace(one, source=own) for one in scored]
        if not choice.cut:
            return told
        sources = [one.source or own for one in told]
        below = replace(sources[0], name=cheap.name, tier=1 + max(one.tier for one in sources))
        least = min(one.logit for one in told)
        numbers = _places_below(least, len(choice.cut), probable=below.scale == "probability")
        answers: Mapping[int, Scored] = dict(zip(choice.kept, told, strict=True)) | {
            place: replace(choice.cheap[place], logit=number, source=_of(choice.cheap[place], below))
            for place, number in zip(choice.cut, numbers, strict=True)
        }
        return [answers[place] for place in range(len(answers))]


def _of(cheap: Scored, below: ScoreSource) -> ScoreSource:
    """The source of a passage that was cut; one that the cheap scorer told stays."""
    return below if cheap.source is None else replace(below, name=cheap.source.name)


def _places_below(least: float, count: int, *, probable: bool) -> list[float]:
    """Numbers below the least score, falling from place to place as far as floats are that dense.

    Of probabilities they stay within 0..1, unless the least is 0 itself.
    """
    step = least / (count + 1) if probable else 1.0
    first = max(math.nextafter(least, -math.inf), -sys.float_info.max)
    return [max(min(first, least - place * step), -sys.float_info.max) for place in range(1, count + 1)]
