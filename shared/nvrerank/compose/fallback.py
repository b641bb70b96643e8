"""Fallback: the next scorer answers where one can't, and it is seen which did."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from nvrerank._checks import checked_integer, checked_number
from nvrerank.errors import BadResponseError, NVRerankError, ServiceUnavailableError
from nvrerank.images import has_image
from nvrerank.per_process import PerProcess
from nvrerank.scorer import Scored, Scorer, ScoreSource

from .attempts import Account, Call
from .composed import Composed

_FAILURES = (ServiceUnavailableError, BadResponseError)


class Fallback(Composed):
    """Asks the first scorer, and the next one where that fails.

    A call is answered by one scorer wholly, so that there are never two scorers' scores in one ranking.
    `Ranking.answered_by` and each record's `source` name it, `answers` counts the calls that each answered,
    and a `FallbackWarning` says when it is another than before. Where all fail the last one's error is
    raised, with notes of the others; `rerank(..., on_error="passthrough")` then keeps the retrieval order.

    A scorer that failed `failures` times in a row is left alone for `retry_after` seconds. Then one call
    tries it, while the others go on to the next. The last is always asked. Each process keeps its own
    account.

    Its own `scale` and `calibrated` are the first scorer's; `rerank` goes by those of the one that answered.
    Images are for those that read them; the others are passed over. Passages that are too long are each
    scorer's own affair: `Fallback(Windowed(...), LocalScorer(...))`.

    Args:
        *scorers: Two or more, the preferred one first.
        on: Which errors make the next one answer. Others, such as a rejected request or a missing key, are
            raised: to ask somebody else would hide what has to be mended.
        thresholds: For each scorer the least score that stays, since a threshold belongs to a scale; it is
            compared as that of `rerank`, whose place it takes. None in it: that of `rerank` counts, if there
            is one.
        failures: Failed calls in a row after which a scorer is left alone.
        retry_after: Seconds until it is tried again.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: There are fewer than two scorers, or not one threshold for each, or a number is out of
            range.
    """

    def __init__(
        self,
        *scorers: Scorer,
        on: type[NVRerankError] | Iterable[type[NVRerankError]] = _FAILURES,
        thresholds: Iterable[float | None] | None = None,
        failures: int = 3,
        retry_after: float = 60,
    ) -> None:
        super().__init__(**{f"scorers[{index}]": scorer for index, scorer in enumerate(scorers)})
        if len(scorers) < 2:  # noqa: PLR2004
            raise ValueError("Fallback needs a scorer to fall back to: give two or more")
        self._on = _checked_errors(on)
        self._thresholds = _checked_thresholds(thresholds, len(scorers))
        failures = checked_integer("failures", failures, least=1)
        retry_after = checked_number("retry_after", retry_after, least=0)
        self._options = f"failures={failures}, retry_after={retry_after:g}"
        self._account = PerProcess(partial(Account, len(scorers), failures, retry_after))

    @property
    def name(self) -> str:
        """The names of all."""
        return ", else ".join(self._names())

    @property
    def reads_images(self) -> bool:
        """Whether one of them does."""
        return any(scorer.reads_images for scorer in self._scorers)

    @property
    def answers(self) -> Mapping[str, int]:
        """How many calls each scorer answered, by name, in this process."""
        return dict(zip(self._names(), self._account.get().answers, strict=True))

    def _score(self, query: str, passages: Sequence[str]) -> list[Scored]:
        call = self._call(passages)
        for index in call.order():
            with call.asking(index):
                return self._told(call, index, self._scorers[index].score_clean(query, passages))
        raise call.failed()

    async def _ascore(self, query: str, passages: Sequence[str]) -> list[Scored]:
        call = self._call(passages)
        for index in call.order():
            with call.asking(index):
                return self._told(call, index, await self._scorers[index].ascore_clean(query, passages))
        raise call.failed()

    def _score_many(self, calls: Sequence[tuple[str, Sequence[str]]]) -> list[list[Scored]]:
        """All queries by the same scorer."""
        call = self._call([text for _, texts in calls for text in texts])
        for index in call.order():
            with call.asking(index):
                many = self._scorers[index].score_many_clean(calls)
                told = iter(self._told(call, index, [one for answer in many for one in answer]))
                return [[next(told) for _ in answer] for answer in many]
        raise call.failed()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._scorers))}, {self._options})"

    def _call(self, passages: Sequence[str]) -> Call:
        seen = any(map(has_image, passages))
        blind = [index for index, scorer in enumerate(self._scorers) if seen and not scorer.reads_images]
        return Call(self._account.get(), self._names(), self._on, blind)

    def _names(self) -> list[str]:
        """Each scorer's name, with its place where several have the same."""
        names = [scorer.name for scorer in self._scorers]
        times = Counter(names)
        return [
            name if times[name] == 1 else f"{name} ({place})" for place, name in enumerate(names, start=1)
        ]

    def _told(self, call: Call, index: int, scored: Sequence[Scored]) -> list[Scored]:
        """The records, with their source; a source within that says more stays."""
        call.answered(index)
        scorer, threshold = self._scorers[index], self._thresholds[index]
        own = ScoreSource(call.names[index], scorer.scale, scorer.calibrated)
        sources: dict[ScoreSource | None, ScoreSource] = {}
        for known in {one.source for one in scored}:
            named = own if known is None else known
            if named.name == scorer.name:
                named = replace(named, name=own.name)
            sources[known] = named if threshold is None else replace(named, threshold=threshold)
        return [replace(one, source=sources[one.source]) for one in scored]


def _checked_errors(on: object) -> tuple[type[NVRerankError], ...]:
    kinds = (on,) if isinstance(on, type) else tuple(on) if isinstance(on, Iterable) else (on,)
    checked = tuple(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, NVRerankError))
    if not checked or len(checked) < len(kinds):
        raise TypeError(
            f"on must be errors of nvrerank, not {on!r:.100}: whatever else a scorer raises is a ScoringError"
        )
    return checked


def _checked_thresholds(thresholds: Iterable[float | None] | None, count: int) -> tuple[float | None, ...]:
    if thresholds is None:
        return (None,) * count
    if isinstance(thresholds, str | bytes) or not isinstance(thresholds, Iterable):
        raise TypeError(f"thresholds must be a list with one for each scorer, not {thresholds!r:.50}")
    given = [
        one if one is None else checked_number(f"thresholds[{index}]", one, least=-math.inf)
        for index, one in enumerate(thresholds)
    ]
    if len(given) != count:
        raise ValueError(
            f"{len(given)} thresholds for {count} scorers: give one for each, or None in its place"
        )
    return tuple(given)
