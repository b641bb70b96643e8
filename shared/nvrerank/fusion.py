"""The reranker's order together with what retrieval knew. Pure.

Both ways need no training and no common scale. Reciprocal rank fusion: Cormack, Clarke and Buettcher,
"Reciprocal Rank Fusion Outperforms Condorcet and Individual Rank Learning Methods" (SIGIR 2009). Standard
scores: zero mean and unit variance of each list, as in Montague and Aslam, "Relevance Score Normalization for
Metasearch" (CIKM 2001), then their weighted sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

from ._checks import as_float

FusionName = Literal["rrf", "zscore"]


@dataclass(frozen=True, slots=True)
class ReciprocalRankFusion:
    """By ranks: 1 / (k + rank by the reranker) + retrieval_weight / (k + rank in the input).

    Ranks count from 1; passages with equal logits share the best of their ranks. The input rank is the
    passage's place in the input, blank ones included.

    Attributes:
        k: How little the first ranks stand out; 60 in the source.
        retrieval_weight: What the input order counts; the reranker's counts 1.

    Raises:
        TypeError: A value is no number.
        ValueError: A value is negative or not finite.
    """

    method: ClassVar[FusionName] = "rrf"
    needs_scores: ClassVar[bool] = False

    k: float = 60
    retrieval_weight: float = 1

    def __post_init__(self) -> None:
        _check("k", self.k)
        _check("retrieval_weight", self.retrieval_weight)

    def fused(
        self,
        logits: Sequence[float],
        places: Sequence[int],
        retrieval_scores: Sequence[float],  # noqa: ARG002 (ranks alone count)
    ) -> list[float]:
        """The fused score of each passage from its logit and its index in the input."""
        return [
            1 / (self.k + rank) + self.retrieval_weight / (self.k + place + 1)
            for rank, place in zip(_ranks(logits), places, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class ZScoreFusion:
    """By standard scores: (1 - retrieval_weight) z(logit) + retrieval_weight z(retrieval score).

    z(x) = (x - mean) / standard deviation over the passages that were scored (that of the whole list, not of
    a sample); 0 for all where all are equal. Higher retrieval scores must be better: no distances.

    Attributes:
        retrieval_weight: From 0, the reranker alone, to 1, retrieval alone.

    Raises:
        TypeError: The weight is no number.
        ValueError: It is not within 0 and 1.
    """

    method: ClassVar[FusionName] = "zscore"
    needs_scores: ClassVar[bool] = True

    retrieval_weight: float = 0.5

    def __post_init__(self) -> None:
        _check("retrieval_weight", self.retrieval_weight, most=1)

    def fused(
        self,
        logits: Sequence[float],
        places: Sequence[int],  # noqa: ARG002 (scores alone count)
        retrieval_scores: Sequence[float],
    ) -> list[float]:
        """The fused score of each passage from its logit and its retrieval score."""
        weight = self.retrieval_weight
        return [
            (1 - weight) * ours + weight * theirs
            for ours, theirs in zip(_standard(logits), _standard(retrieval_scores), strict=True)
        ]


Fusion = ReciprocalRankFusion | ZScoreFusion

_METHODS: dict[str, type[Fusion]] = {kind.method: kind for kind in (ReciprocalRankFusion, ZScoreFusion)}


def as_fusion(fuse: object) -> Fusion | None:
    """What `fuse=` means: None, "rrf", "zscore", a record, or a mapping that `as_data` gave.

    Raises:
        TypeError: A parameter is unknown or no number.
        ValueError: It is none of them, or a parameter is out of range.
    """
    if fuse is None or isinstance(fuse, Fusion):
        return fuse
    method, parameters = fuse, {}
    if isinstance(fuse, Mapping):
        parameters = dict(fuse)
        method = parameters.pop("method", None)
    if not isinstance(method, str) or method not in _METHODS:
        raise ValueError(
            "fuse must be None, 'rrf', 'zscore', ReciprocalRankFusion(...) or ZScoreFusion(...), "
            f"not {fuse!r:.100}"
        )
    return _METHODS[method](**parameters)


def as_data(fusion: Fusion | None) -> str | dict[str, object] | None:
    """The same for JSON: None, the method's name, or a mapping with its parameters where they are unusual."""
    if fusion is None:
        return None
    if fusion == _METHODS[fusion.method]():
        return fusion.method
    return {"method": fusion.method, **asdict(fusion)}


def checked_retrieval_scores(scores: Iterable[float | None], count: int) -> list[float | None]:
    """What retrieval scored each of `count` passages, higher is better; None for one that is not known.

    Raises:
        TypeError: A score is no number.
        ValueError: There are more or fewer than passages, or one is not finite.
    """
    checked = [None if score is None else _checked_score(index, score) for index, score in enumerate(scores)]
    if len(checked) != count:
        raise ValueError(f"{len(checked)} retrieval_scores for {count} passages: give one for each, in order")
    return checked


def known_score(value: object) -> float | None:
    """A framework's score as a finite float; None: it is no such number."""
    number = as_float(value)
    return None if number is None or not math.isfinite(number) else number


def _checked_score(index: int, score: object) -> float:
    number = as_float(score)
    if number is None:
        raise TypeError(f"retrieval_scores[{index}] must be a number or None, not {score!r:.50}")
    if not math.isfinite(number):
        raise ValueError(f"retrieval_scores[{index}] must be a finite number or None, not {number}")
    return number


def _ranks(logits: Sequence[float]) -> list[int]:
    """1 for the highest; equals share the best of their ranks."""
    first: dict[float, int] = {}
    for rank, logit in enumerate(sorted(logits, reverse=True), start=1):
        first.setdefault(logit, rank)
    return [first[logit] for logit in logits]


def _standard(numbers: Sequence[float]) -> list[float]:
    if not numbers or min(numbers) == max(numbers):
        return [0.0] * len(numbers)
    _, exponent = math.frexp(max(map(abs, numbers)))
    scaled = [math.ldexp(number, -exponent) for number in numbers]  # exactly; no square overflows
    mean = math.fsum(scaled) / len(scaled)
    deviation = math.sqrt(math.fsum((number - mean) ** 2 for number in scaled) / len(scaled))
    return [(number - mean) / deviation for number in scaled]


def _check(name: str, value: object, *, most: float = math.inf) -> None:
    number = as_float(value)
    if number is None:
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not (0 <= number <= most and math.isfinite(number)):
        limit = "0 or more" if most == math.inf else f"from 0 to {most}"
        raise ValueError(f"{name} must be {limit}, not {value}")
