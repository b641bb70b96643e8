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
from typing import Literal, get_args

from ._checks import checked_integer, checked_number
from .errors import NVRerankError, RequestRejectedError
from .fusion import Fusion, FusionName, as_fusion, checked_retrieval_scores
from .results import Ranked, Ranking
from .scorer import Scored, Scorer, ScoreSource
from .texts import clean_passages, clean_query, is_blank
from .tracing import call_span

ScoreMode = Literal["logit", "sigmoid"]
OnError = Literal["raise", "passthrough"]


class PassthroughWarning(UserWarning):
    """Reranking failed and the retrieval order was returned instead, as was asked for."""


class UncalibratedWarning(UserWarning):
    """Probabilities were asked of a scorer whose sigmoids are not of use as such."""


_warned: weakref.WeakValueDictionary[int, Scorer] = weakref.WeakValueDictionary()  # by id: it need not hash


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
        if self.top_n is not None:
            object.__setattr__(self, "top_n", checked_integer("top_n", self.top_n, least=0))
        if self.threshold is not None:
            least = checked_number("threshold", self.threshold, least=-math.inf)
            object.__setattr__(self, "threshold", least)
        if self.fuse is not None:
            object.__setattr__(self, "fuse", as_fusion(self.fuse))
        for name, kind in (("score_mode", ScoreMode), ("on_error", OnError)):
            value, choices = getattr(self, name), get_args(kind)
            if value not in choices:
                raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}")


_DEFAULTS = RankOptions()
_LOGIT, _QUERY_TRUNCATED = operator.attrgetter("logit"), operator.attrgetter("query_truncated")
_TIER = operator.attrgetter("tier")


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
    instruction: str | None = None,
) -> Ranking:
    """Orders passages by their relevance to a query, best first.

    Blank passages are not scored and come last, in input order, with score None. Equal scores keep
    the input order. Duplicates are scored once and returned each.

    Args:
        scorer: What scores: `LocalScorer()`, `HostedScorer(...)`, or a `Scorer` of your own.
        query: The question; not blank, unless `on_error="passthrough"`.
        passages: The candidates, in retrieval order; any iterable of strings.
        top_n: At most so many results; None: all, 0: none.
        threshold: Least score that stays (inclusive), compared after `score_mode`. One that the scorer that
            answers has of its own (`Fallback(thresholds=...)`) takes its place.
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
        instruction: What the model is told of its task, in place of the scorer's own: see
            `Scorer.with_instruction`. One that has no place for it refuses.

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
    asked = scorer if instruction is None else scorer.with_instruction(instruction)
    prepared = prepare(query, passages, retrieval_scores, options)
    unasked = _unasked(prepared, options)
    if unasked is not None:
        return unasked
    with call_span(asked, options, len(prepared.passages)) as span:
        try:
            scores = asked.score_clean(prepared.query, prepared.texts)
        except NVRerankError as error:
            ranking = _failed(error, prepared, options)
            return ranking if span is None else span.told(ranking, error)
        source = _source(asked, scores, options)
        if options.score_mode == "sigmoid" and not source.calibrated:
            _warn_uncalibrated(scorer, source)
        ranking = finish(prepared, scores, options, source)
        return ranking if span is None else span.told(ranking)


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
    instruction: str | None = None,
) -> Ranking:
    """As `rerank`, without blocking the event loop."""
    options = RankOptions(top_n, threshold, score_mode, on_error, fuse)
    asked = scorer if instruction is None else scorer.with_instruction(instruction)
    prepared = prepare(query, passages, retrieval_scores, options)
    unasked = _unasked(prepared, options)
    if unasked is not None:
        return unasked
    with call_span(asked, options, len(prepared.passages)) as span:
        try:
            scores = await asked.ascore_clean(prepared.query, prepared.texts)
        except NVRerankError as error:
            ranking = _failed(error, prepared, options)
            return ranking if span is None else span.told(ranking, error)
        source = _source(asked, scores, options)
        if options.score_mode == "sigmoid" and not source.calibrated:
            _warn_uncalibrated(scorer, source)
        ranking = finish(prepared, scores, options, source)
        return ranking if span is None else span.told(ranking)


@dataclass(frozen=True, slots=True)
class Prepared:
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
    options: RankOptions = _DEFAULTS,
) -> Prepared:
    """Cleans the texts, sets blanks aside, keeps one of each duplicate, and checks what `fuse` needs.

    A blank query is an error, unless errors are to pass through.
    """
    cleaned = clean_query(query, blank=options.on_error == "passthrough")
    texts = clean_passages(passages)
    first: dict[str, int] = {}
    slots = [None if is_blank(text) else first.setdefault(text, len(first)) for text in texts]
    known = None if retrieval_scores is None else checked_retrieval_scores(retrieval_scores, len(texts))
    if isinstance(options.fuse, Fusion) and options.fuse.needs_scores:
        _check_fusable(slots, known, options.fuse)
    return Prepared(cleaned, texts, list(first), slots, known)


def finish(
    prepared: Prepared, scores: Sequence[Scored], options: RankOptions, source: ScoreSource
) -> Ranking:
    """Sorts by logit or by what it is fused to (stable, blanks last), then applies mode, threshold and top_n.

    The sort is not on probabilities: far from 0 different logits have the same sigmoid. What a `Cascade` cut
    stays below what it kept.
    """
    places, scored, ranked = [], [], []
    for place, slot in enumerate(prepared.slots):
        if slot is not None:
            places.append(place)
            scored.append(scores[slot])
    logits = list(map(_LOGIT, scored))
    tiers = [0 if one.source is None else one.source.tier for one in scored]
    fused = None
    if isinstance(options.fuse, Fusion):
        fused = _fused(options.fuse, logits, places, prepared.retrieval_scores, tiers)
    keys = logits if fused is None else fused
    probable = options.score_mode == "sigmoid" and source.scale == "logit"
    least = options.threshold if source.threshold is None else source.threshold
    order = sorted(range(len(keys)), key=keys.__getitem__, reverse=True)
    for at in sorted(order, key=tiers.__getitem__) if any(tiers) else order:
        score = sigmoid(logits[at]) if probable else logits[at]
        if least is None or (score >= least and not tiers[at]):
            one, key = scored[at], None if fused is None else fused[at]
            by = None if one.source is None else one.source.name
            place, cut = places[at], tiers[at] > 0
            text = prepared.passages[place]
            ranked.append(Ranked(place, score, one.truncated, one.window, key, by, cut, text))
    if least is None:
        blank = [place for place, slot in enumerate(prepared.slots) if slot is None]
        ranked += [Ranked(place, None, text=prepared.passages[place]) for place in blank]
    return Ranking(
        ranked[: options.top_n],
        prepared.query,
        prepared.passages,
        prepared.retrieval_scores,
        query_truncated=any(map(_QUERY_TRUNCATED, scores)),
        answered_by=source.name,
    )


def _source(scorer: Scorer, scores: Sequence[Scored], options: RankOptions) -> ScoreSource:
    """Whose scores they are: of a call's records the source of those that were not cut, else the scorer's.

    Whether that is calibrated is asked for probabilities alone.
    """
    known = [one.source for one in scores if one.source is not None]
    if known:
        return min(known, key=_TIER)
    return ScoreSource(scorer.name, scorer.scale, options.score_mode == "logit" or scorer.calibrated)


def _fused(
    fusion: Fusion,
    logits: Sequence[float],
    places: Sequence[int],
    retrieval_scores: Sequence[float | None] | None,
    tiers: Sequence[int],
) -> list[float]:
    """The fused scores; each tier by itself, since its logits say nothing beside those of another."""
    fused = [0.0] * len(logits)
    for tier in set(tiers):
        mine = [at for at, one in enumerate(tiers) if one == tier]
        known: list[float] = []
        if fusion.needs_scores and retrieval_scores is not None:
            known = [score for at in mine if (score := retrieval_scores[places[at]]) is not None]
        keys = fusion.fused([logits[at] for at in mine], [places[at] for at in mine], known)
        for at, key in zip(mine, keys, strict=True):
            fused[at] = key
    return fused


def _check_fusable(
    slots: Sequence[int | None], retrieval_scores: Sequence[float | None] | None, fusion: Fusion
) -> None:
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


def _unasked(prepared: Prepared, options: RankOptions) -> Ranking | None:
    """The ranking where the scorer is not to be asked; None: it is."""
    if options.on_error == "passthrough" and is_blank(prepared.query):
        return _passthrough("query is blank", prepared, options)
    if prepared.texts and options.top_n != 0:
        return None
    return _unscored(prepared, options.top_n if options.threshold is None else 0)


def _warn_uncalibrated(scorer: Scorer, source: ScoreSource) -> None:
    """Once for each scorer; to be called by `rerank` and `arerank` themselves."""
    if id(scorer) in _warned:
        return
    _warned[id(scorer)] = scorer
    warnings.warn(
        f"{source.name} is not calibrated, so the sigmoids of its scores are no probabilities: use "
        "score_mode='logit', with a threshold that is chosen on data of your own",
        UncalibratedWarning,
        stacklevel=3,
    )


def _failed(error: NVRerankError, prepared: Prepared, options: RankOptions) -> Ranking:
    if isinstance(error, RequestRejectedError):  # the scorer knows only distinct texts, or may be wrong
        slots = prepared.slots
        error.reindex(lambda index: slots.index(index) if index in slots else None)
    if options.on_error != "passthrough":
        raise error
    return _passthrough(f"{type(error).__name__}: {error}", prepared, options)


def _passthrough(reason: str, prepared: Prepared, options: RankOptions) -> Ranking:
    warnings.warn(
        f"reranking failed, the retrieval order is kept: {reason}", PassthroughWarning, stacklevel=4
    )
    return _unscored(prepared, options.top_n)


def _unscored(prepared: Prepared, top_n: int | None) -> Ranking:
    ranked = [Ranked(index, None, text=text) for index, text in enumerate(prepared.passages)]
    return Ranking(ranked[:top_n], prepared.query, prepared.passages, prepared.retrieval_scores)
