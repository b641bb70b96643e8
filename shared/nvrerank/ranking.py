"""From logits to an order: blanks and duplicates, sort, threshold, top_n.

Everything but the two calls of the scorer is pure; `rerank` and `arerank` share all of it.
"""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, SupportsIndex, get_args

from .errors import NVRerankError, RequestRejectedError
from .scorer import Scorer, checked_scores
from .texts import clean_passages, clean_query, is_blank

ScoreMode = Literal["logit", "sigmoid"]
OnError = Literal["raise", "passthrough"]


class PassthroughWarning(UserWarning):
    """Reranking failed and the retrieval order was returned instead, as was asked for."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """One passage's place in the order.

    Attributes:
        index: The passage's index in the input.
        score: Its relevance, a logit or a probability by `score_mode`; None for a blank passage and
            for every passage after a passthrough.
    """

    index: int
    score: float | None


@dataclass(frozen=True, slots=True)
class RankOptions:
    """How logits become an order; checked at construction.

    Attributes:
        top_n: At most so many results; None: all, 0: none.
        threshold: Least score that stays (inclusive), compared after `score_mode`; drops blanks.
        score_mode: "logit" as the model gives it, or "sigmoid": 1 / (1 + exp(-logit)), in 0..1.
        on_error: "raise", or "passthrough": the input order cut to top_n, no scores, one warning.

    Raises:
        TypeError: top_n is not an integer or threshold not a number (a bool is neither).
        ValueError: A value is out of range or unknown.
    """

    top_n: int | None = None
    threshold: float | None = None
    score_mode: ScoreMode = "logit"
    on_error: OnError = "raise"

    def __post_init__(self) -> None:
        object.__setattr__(self, "top_n", _checked_top_n(self.top_n))
        object.__setattr__(self, "threshold", _checked_threshold(self.threshold))
        for name, kind in (("score_mode", ScoreMode), ("on_error", OnError)):
            value = getattr(self, name)
            if value not in get_args(kind):
                choices = " or ".join(map(repr, get_args(kind)))
                raise ValueError(f"{name} must be {choices}, not {value!r}")


def rerank(
    scorer: Scorer,
    query: str,
    passages: Iterable[str],
    *,
    top_n: int | None = None,
    threshold: float | None = None,
    score_mode: ScoreMode = "logit",
    on_error: OnError = "raise",
) -> list[Ranked]:
    """Orders passages by their relevance to a query, best first.

    Blank passages are not scored and come last, in input order, with score None. Equal scores keep
    the input order. Duplicates are scored once and returned each.

    Args:
        scorer: What scores: `LocalScorer()`, `HostedScorer(...)`, or a `Scorer` of your own.
        query: The question; not blank.
        passages: The candidates, in retrieval order; any iterable of strings.
        top_n: At most so many results; None: all, 0: none.
        threshold: Least score that stays (inclusive), compared after `score_mode`.
        score_mode: "logit" as the model gives it, or "sigmoid" for 0..1.
        on_error: "raise", or "passthrough": the input order cut to top_n, without scores, and one
            `PassthroughWarning`.

    Returns:
        `Ranked(index, score)` for each passage that stays.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The query is blank or an option out of range.
        NVRerankError: The scorer failed (unless `on_error="passthrough"`).
    """
    options = RankOptions(top_n, threshold, score_mode, on_error)
    job = prepare(query, passages)
    if not job.texts or options.top_n == 0:
        return order([None] * len(job.slots), options)
    try:
        scores = scorer.score(job.query, job.texts)
        return finish(job, scores, options, source=scorer.name)
    except NVRerankError as error:
        return _passthrough_or_raise(error, job, options)


async def arerank(
    scorer: Scorer,
    query: str,
    passages: Iterable[str],
    *,
    top_n: int | None = None,
    threshold: float | None = None,
    score_mode: ScoreMode = "logit",
    on_error: OnError = "raise",
) -> list[Ranked]:
    """As `rerank`, without blocking the event loop."""
    options = RankOptions(top_n, threshold, score_mode, on_error)
    job = prepare(query, passages)
    if not job.texts or options.top_n == 0:
        return order([None] * len(job.slots), options)
    try:
        scores = await scorer.ascore(job.query, job.texts)
        return finish(job, scores, options, source=scorer.name)
    except NVRerankError as error:
        return _passthrough_or_raise(error, job, options)


@dataclass(frozen=True, slots=True)
class Job:
    """What the scorer is asked, and where its answers belong.

    Attributes:
        query: The cleaned query.
        texts: Each distinct passage that is not blank, in order of first appearance.
        slots: For each input passage its position in `texts`; None: blank.
    """

    query: str
    texts: list[str]
    slots: list[int | None]


def prepare(query: str, passages: Iterable[str]) -> Job:
    """Cleans the texts, sets blanks aside and keeps one of each duplicate."""
    cleaned = clean_query(query)
    first: dict[str, int] = {}
    slots = [
        None if is_blank(text) else first.setdefault(text, len(first)) for text in clean_passages(passages)
    ]
    return Job(cleaned, list(first), slots)


def finish(job: Job, scores: Sequence[float], options: RankOptions, *, source: str) -> list[Ranked]:
    """Checks the scorer's answers and puts the passages in order."""
    logits = checked_scores(scores, len(job.texts), source=source)
    return order([None if slot is None else logits[slot] for slot in job.slots], options)


def order(logits: Sequence[float | None], options: RankOptions) -> list[Ranked]:
    """Sorts by logit (stable, None last), then applies mode, threshold and top_n.

    The sort is on logits: far from 0 different logits have the same sigmoid.
    """
    scored = [(logit, index) for index, logit in enumerate(logits) if logit is not None]
    scored.sort(key=lambda pair: -pair[0])
    mode = sigmoid if options.score_mode == "sigmoid" else float
    ranked = [Ranked(index, mode(logit)) for logit, index in scored]
    ranked += [Ranked(index, None) for index, logit in enumerate(logits) if logit is None]
    if options.threshold is not None:
        least = options.threshold
        ranked = [one for one in ranked if one.score is not None and one.score >= least]
    return ranked[: options.top_n]


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit)), without overflow at either end."""
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    small = math.exp(logit)
    return small / (1.0 + small)


def _passthrough_or_raise(error: NVRerankError, job: Job, options: RankOptions) -> list[Ranked]:
    if isinstance(error, RequestRejectedError) and error.index is not None:
        error.index = job.slots.index(error.index)  # the scorer knows only distinct texts
    if options.on_error != "passthrough":
        raise error
    warnings.warn(
        f"reranking failed, the retrieval order is kept: {type(error).__name__}: {error}",
        PassthroughWarning,
        stacklevel=3,
    )
    return [Ranked(index, None) for index in range(len(job.slots))][: options.top_n]


def _checked_top_n(top_n: SupportsIndex | None) -> int | None:
    if top_n is None:
        return None
    if isinstance(top_n, bool) or not isinstance(top_n, SupportsIndex):
        raise TypeError(f"top_n must be an int or None, not {top_n!r}")
    count = operator.index(top_n)
    if count < 0:
        raise ValueError(f"top_n must be 0 or more, or None for all, not {count}")
    return count


def _checked_threshold(threshold: float | None) -> float | None:
    if threshold is None:
        return None
    if isinstance(threshold, bool | str | bytes):
        raise TypeError(f"threshold must be a number or None, not {threshold!r}")
    least = float(threshold)
    if math.isnan(least):
        raise ValueError("threshold must be a number, not NaN")
    return least
