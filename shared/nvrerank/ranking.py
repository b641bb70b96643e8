"""From logits to an order: blanks and duplicates, sort or fuse, threshold, top_n.

Everything but the two calls of the scorer is pure; `rerank` and `arerank` share all of it.
"""

from __future__ import annotations

import math
import operator
import warnings
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, SupportsIndex, get_args

from .errors import NVRerankError, RequestRejectedError
from .fusion import Fusion, FusionName, as_fusion, checked_retrieval_scores
from .scorer import Scale, Scored, Scorer
from .texts import clean_passages, clean_query, is_blank

if TYPE_CHECKING:
    from pandas import DataFrame

ScoreMode = Literal["logit", "sigmoid"]
OnError = Literal["raise", "passthrough"]


class PassthroughWarning(UserWarning):
    """Reranking failed and the retrieval order was returned instead, as was asked for."""


class UncalibratedWarning(UserWarning):
    """Probabilities were asked of a scorer whose sigmoids are not of use as such."""


_warned: weakref.WeakValueDictionary[int, Scorer] = weakref.WeakValueDictionary()  # by id: it need not hash


@dataclass(frozen=True, slots=True)
class Ranked:
    """One passage's place in the order.

    Attributes:
        index: The passage's index in the input.
        score: Its relevance, a logit or a probability by `score_mode`; None for a blank passage and
            for every passage after a passthrough.
        truncated: Whether its end was not read because the pair was too long; None: not known.
        window: Where the passage was scored in parts, the characters of the best of them, as (start, end),
            of the passage as `Ranking.passages` has it; None: it was scored as a whole.
        fused: What it was ordered by where `fuse` was asked for; None: by its score.
    """

    index: int
    score: float | None
    truncated: bool | None = None
    window: tuple[int, int] | None = None
    fused: float | None = None


class Ranking(list[Ranked]):
    """What `rerank` returns: a list of `Ranked`, best first, that knows what was ranked.

    Attributes:
        query: The query, as it was scored.
        passages: All passages, in input order, also those that were dropped.
        retrieval_scores: What retrieval scored them, in input order; None: not known.
        query_truncated: Whether the query is known not to have been read to its end.
    """

    def __init__(
        self,
        ranked: Iterable[Ranked],
        query: str,
        passages: Sequence[str],
        retrieval_scores: Sequence[float | None] | None = None,
        *,
        query_truncated: bool = False,
    ) -> None:
        super().__init__(ranked)
        self.query = query
        self.passages = passages
        self.retrieval_scores = retrieval_scores
        self.query_truncated = query_truncated

    @property
    def truncated(self) -> int:
        """How many of the passages in this ranking are known to have been cut."""
        return sum(one.truncated is True for one in self)

    def to_pandas(self) -> DataFrame:
        """This ranking as a data frame, a row a passage; `nvrerank.show.to_pandas` names the columns.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from .show import to_pandas  # upwards: the room is opened only for whoever wants to see

        return to_pandas(self)

    def _repr_html_(self) -> str:
        from .show import table

        return table(self)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (list(self), self.query, self.passages), self.__dict__


@dataclass(frozen=True, slots=True)
class RankOptions:
    """How logits become an order; checked at construction.

    Attributes:
        top_n: At most so many results; None: all, 0: none.
        threshold: Least score that stays (inclusive), compared after `score_mode`; drops blanks.
        score_mode: "logit" as the scorer gives it, or "sigmoid": 1 / (1 + exp(-logit)), in 0..1; a scorer's
            probabilities are left as they are.
        on_error: "raise", or "passthrough": the input order cut to top_n, no scores, one warning.
        fuse: What orders beside the logits: None, "rrf" (the input order), "zscore" (retrieval scores), or
            a record of `nvrerank.fusion` with parameters.

    Raises:
        TypeError: top_n is not an integer or threshold not a number (a bool is neither).
        ValueError: A value is out of range or unknown.
    """

    top_n: int | None = None
    threshold: float | None = None
    score_mode: ScoreMode = "logit"
    on_error: OnError = "raise"
    fuse: Fusion | FusionName | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "top_n", _checked_top_n(self.top_n))
        object.__setattr__(self, "threshold", _checked_threshold(self.threshold))
        object.__setattr__(self, "fuse", as_fusion(self.fuse))
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
    fuse: Fusion | FusionName | None = None,
    retrieval_scores: Iterable[float | None] | None = None,
) -> Ranking:
    """Orders passages by their relevance to a query, best first.

    Blank passages are not scored and come last, in input order, with score None. Equal scores keep
    the input order. Duplicates are scored once and returned each.

    Args:
        scorer: What scores: `LocalScorer()`, `HostedScorer(...)`, or a `Scorer` of your own.
        query: The question; not blank, unless `on_error="passthrough"`.
        passages: The candidates, in retrieval order; any iterable of strings.
        top_n: At most so many results; None: all, 0: none.
        threshold: Least score that stays (inclusive), compared after `score_mode`.
        score_mode: "logit" as the scorer gives it, or "sigmoid" for 0..1, which leaves the probabilities of a
            scorer that gives such (`Scorer.scale`) as they are.
        on_error: "raise", or "passthrough": whatever the scorer raises, and if the query is blank, the input
            order cut to top_n, without scores, and one `PassthroughWarning`. A bad argument still raises.
        fuse: None orders by the reranker alone. "rrf" fuses its ranks with those of the input order, "zscore"
            its logits with `retrieval_scores`; `nvrerank.ReciprocalRankFusion(...)` and
            `nvrerank.ZScoreFusion(...)` hold parameters. Scores stay the reranker's own, and `threshold` is
            compared with them; what was ordered by is in `fused`.
        retrieval_scores: What retrieval scored each passage, higher is better; None for one that has none,
            which "zscore" refuses unless the passage is blank.

    Returns:
        `Ranked(index, score)` for each passage that stays, in a list that also holds query and passages.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The query is blank, an option out of range, or retrieval scores are missing, not finite or
            not as many as the passages.
        NVRerankError: The scorer failed (unless `on_error="passthrough"`): what it raised if it is one of
            these, else a `ScoringError` with that as its cause. Texts and options are checked before, so what
            a scorer raises, a ValueError too, tells of the scorer.
    """
    options = RankOptions(top_n, threshold, score_mode, on_error, fuse)
    job = prepare(query, passages, retrieval_scores, fuse=options.fuse, on_error=options.on_error)
    if is_blank(job.query):
        return _passthrough("query is blank", job, options)
    if not job.texts or options.top_n == 0:
        return _unscored(job, options)
    _warn_if_uncalibrated(scorer, options)
    try:
        scores = scorer.score_clean(job.query, job.texts)
    except NVRerankError as error:
        return _passthrough_or_raise(error, job, options)
    return finish(job, scores, options, scale=scorer.scale)


async def arerank(
    scorer: Scorer,
    query: str,
    passages: Iterable[str],
    *,
    top_n: int | None = None,
    threshold: float | None = None,
    score_mode: ScoreMode = "logit",
    on_error: OnError = "raise",
    fuse: Fusion | FusionName | None = None,
    retrieval_scores: Iterable[float | None] | None = None,
) -> Ranking:
    """As `rerank`, without blocking the event loop."""
    options = RankOptions(top_n, threshold, score_mode, on_error, fuse)
    job = prepare(query, passages, retrieval_scores, fuse=options.fuse, on_error=options.on_error)
    if is_blank(job.query):
        return _passthrough("query is blank", job, options)
    if not job.texts or options.top_n == 0:
        return _unscored(job, options)
    _warn_if_uncalibrated(scorer, options)
    try:
        scores = await scorer.ascore_clean(job.query, job.texts)
    except NVRerankError as error:
        return _passthrough_or_raise(error, job, options)
    return finish(job, scores, options, scale=scorer.scale)


@dataclass(frozen=True, slots=True)
class Job:
    """What the scorer is asked, and where its answers belong.

    Attributes:
        query: The cleaned query.
        passages: All cleaned passages.
        texts: Each distinct passage that is not blank, in order of first appearance.
        slots: For each input passage its position in `texts`; None: blank.
        retrieval_scores: What retrieval scored each input passage; None: not told.
    """

    query: str
    passages: list[str]
    texts: list[str]
    slots: list[int | None]
    retrieval_scores: list[float | None] | None = None


def prepare(
    query: str,
    passages: Iterable[str],
    retrieval_scores: Iterable[float | None] | None = None,
    *,
    fuse: Fusion | FusionName | None = None,
    on_error: OnError = "raise",
) -> Job:
    """Cleans the texts, sets blanks aside, keeps one of each duplicate, and checks what `fuse` needs.

    A blank query is an error, unless errors are to pass through.
    """
    cleaned = clean_query(query, blank=on_error == "passthrough")
    texts = list(clean_passages(passages))
    first: dict[str, int] = {}
    slots = [None if is_blank(text) else first.setdefault(text, len(first)) for text in texts]
    known = checked_retrieval_scores(retrieval_scores, len(texts))
    _check_fusable(slots, known, as_fusion(fuse))
    return Job(cleaned, texts, list(first), slots, known)


def finish(job: Job, scores: Sequence[Scored], options: RankOptions, *, scale: Scale = "logit") -> Ranking:
    """Puts the passages in order."""
    each = [None if slot is None else scores[slot] for slot in job.slots]
    ranking = _ranking(job, order(each, options, job.retrieval_scores, scale=scale))
    ranking.query_truncated = any(one.query_truncated for one in scores)
    return ranking


def order(
    scores: Sequence[Scored | None],
    options: RankOptions,
    retrieval_scores: Sequence[float | None] | None = None,
    *,
    scale: Scale = "logit",
) -> list[Ranked]:
    """Sorts by logit or by what it is fused to (stable, None last), then applies mode, threshold and top_n.

    The sort is not on probabilities: far from 0 different logits have the same sigmoid.
    """
    scored = [(one, index) for index, one in enumerate(scores) if one is not None]
    fused = _fused(scored, options, retrieval_scores)
    mode = sigmoid if options.score_mode == "sigmoid" and scale == "logit" else float
    keyed = [
        (one.logit if key is None else key, Ranked(index, mode(one.logit), one.truncated, one.window, key))
        for (one, index), key in zip(scored, fused, strict=True)
    ]
    ranked = [one for _, one in sorted(keyed, key=lambda pair: -pair[0])]
    ranked += [Ranked(index, None) for index, one in enumerate(scores) if one is None]
    if options.threshold is not None:
        least = options.threshold
        ranked = [one for one in ranked if one.score is not None and one.score >= least]
    return ranked[: options.top_n]


def _fused(
    scored: Sequence[tuple[Scored, int]],
    options: RankOptions,
    retrieval_scores: Sequence[float | None] | None,
) -> Sequence[float | None]:
    """What orders each scored passage; None: its logit."""
    fusion = as_fusion(options.fuse)
    if fusion is None:
        return [None] * len(scored)
    places = [index for _, index in scored]
    known = [0.0] * len(places)
    if fusion.needs_scores and retrieval_scores is not None:
        known = [score for place in places if (score := retrieval_scores[place]) is not None]
    return fusion.fused([one.logit for one, _ in scored], places, known)


def _check_fusable(
    slots: Sequence[int | None], retrieval_scores: Sequence[float | None] | None, fusion: Fusion | None
) -> None:
    if fusion is None or not fusion.needs_scores:
        return
    for index, slot in enumerate(slots):
        if slot is not None and (retrieval_scores is None or retrieval_scores[index] is None):
            raise ValueError(
                f"fuse={fusion.method!r} needs a retrieval score for each passage, and passages[{index}] has "
                "none: give it in retrieval_scores, or use fuse='rrf', which needs none"
            )


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit)), without overflow at either end."""
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    small = math.exp(logit)
    return small / (1.0 + small)


def _warn_if_uncalibrated(scorer: Scorer, options: RankOptions) -> None:
    """Once for each scorer; to be called by `rerank` and `arerank` themselves."""
    if options.score_mode != "sigmoid" or scorer.calibrated or id(scorer) in _warned:
        return
    _warned[id(scorer)] = scorer
    warnings.warn(
        f"{scorer.name} is not calibrated, so the sigmoids of its scores are no probabilities: use "
        "score_mode='logit', with a threshold that is chosen on data of your own",
        UncalibratedWarning,
        stacklevel=3,
    )


def _passthrough_or_raise(error: NVRerankError, job: Job, options: RankOptions) -> Ranking:
    if isinstance(error, RequestRejectedError) and error.index is not None:
        known = error.index in job.slots  # a scorer of someone else's may be wrong
        error.index = job.slots.index(error.index) if known else None  # it knows only distinct texts
    if options.on_error != "passthrough":
        raise error
    return _passthrough(f"{type(error).__name__}: {error}", job, options, stacklevel=4)


def _passthrough(reason: str, job: Job, options: RankOptions, *, stacklevel: int = 3) -> Ranking:
    warnings.warn(
        f"reranking failed, the retrieval order is kept: {reason}", PassthroughWarning, stacklevel=stacklevel
    )
    return _ranking(job, [Ranked(index, None) for index in range(len(job.slots))][: options.top_n])


def _unscored(job: Job, options: RankOptions) -> Ranking:
    return _ranking(job, order([None] * len(job.slots), options))


def _ranking(job: Job, ranked: Iterable[Ranked]) -> Ranking:
    return Ranking(ranked, job.query, job.passages, job.retrieval_scores)


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
