"""Scores a batch of rows; one that can't be scored loses its own score and no other's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Self

from nvrerank import errors
from nvrerank.batches import by_count
from nvrerank.compose.composed import Composed
from nvrerank.errors import NVRerankError, RequestRejectedError, ScoringError
from nvrerank.scorer import Scorer, scores_together
from nvrerank.texts import encodable, is_blank

STOPS = (
    *(errors.MissingKeyError, errors.MissingExtraError, errors.ModelLoadError, errors.InvalidArgumentError),
    *(errors.AuthenticationError, errors.ModelRetiredError, errors.ScorerClosedError),
    errors.ServiceUnavailableError,
)
"""Errors that every row would meet: they end the run."""

_CALLS_AT_ONCE = 16  # of a scorer that waits for others
_FAILURES_IN_A_ROW = 5  # before it is asked whether the scorer works at all
_TRIED = 8  # pairs, for that

Row = tuple[object, object]
"""A query and a passage, or a query and a list of passages, as they were read."""

_Item = tuple[int, str, str]
"""What is scored once: its row (0: of any row), the query, the passage."""

_call_of = itemgetter(0, 1)


@dataclass(slots=True)
class Answer:
    """What came of a batch.

    Attributes:
        scores: For each row a score a passage; None: it has none.
        errors: For each row why scores are missing; None: none is.
        requests: How many requests a server answered, as far as the scorer counts them.
        tokens: Likewise how many tokens were read.
    """

    scores: list[list[float | None]]
    errors: list[str | None]
    requests: int = 0
    tokens: int = 0

    def to_json(self) -> str:
        """For the way between processes; every score comes back as it was."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` made."""
        return cls(**json.loads(text))


def ranks(scores: Sequence[float | None]) -> list[int | None]:
    """The place of each passage by its score, from 1; equal scores keep their order. None: it has none."""
    known = sorted((-score, place) for place, score in enumerate(scores) if score is not None)
    by_place = {place: rank for rank, (_, place) in enumerate(known, start=1)}
    return [by_place.get(place) for place in range(len(scores))]


def check_lists(scorer: Scorer, *, listed: bool) -> None:
    """Refuses a scorer that compares passages where a row has only one.

    Raises:
        ValueError: It is such.
    """
    if scorer.listwise and not listed:
        raise ValueError(
            f"scores of {scorer.name} depend on the query's other passages: give it rows with a query's "
            "whole list, {query: ..., passage: [...]}"
        )


class RowScorer:
    """Asks a scorer for batches of rows.

    Each distinct pair of a batch is scored once, rows with the same query in one call. Where a call fails its
    halves are tried, down to the pair that is to blame. A list stays whole where the scorer compares its
    passages, or answers as one of several scorers; then what it refuses by name is left out.

    Args:
        scorer: What scores.
        listed: Whether a row has a list of passages.
        batch_size: Pairs in one call.

    Attributes:
        size: As `batch_size`.

    Raises:
        ValueError: The scorer compares passages, and a row has only one.
    """

    def __init__(self, scorer: Scorer, *, listed: bool, batch_size: int) -> None:
        check_lists(scorer, listed=listed)
        self.size = batch_size
        self._scorer, self._listed = scorer, listed
        several = isinstance(scorer, Composed) and scorer.identity is None
        self._whole = listed and (scorer.listwise or several)
        self._packs = all(map(scores_together, _leaves(scorer)))
        self._usage = _UsageMeter(scorer)
        self._failures = 0
        self._works: _Item | None = None

    def answer(self, rows: Sequence[Row]) -> Answer:
        """Scores rows.

        Raises:
            NVRerankError: No row can be scored: the scorer has to be set up, is down, or fails at every pair.
        """
        scores: list[list[float | None]] = []
        reasons: list[dict[int, str]] = []
        owners: dict[_Item, list[tuple[int, int]]] = {}
        for number, (query, passages) in enumerate(rows):
            texts, faults = _checked(query, passages, listed=self._listed)
            scores.append([None] * len(texts))
            reasons.append(faults)
            group = number if self._whole else 0
            for place, text in enumerate(texts if -1 not in faults else ()):
                if place not in faults:
                    item = (group, encodable(str(query)), encodable(str(text)))
                    owners.setdefault(item, []).append((number, place))
        for item, outcome in self._outcomes(owners):
            for number, place in owners[item]:
                if isinstance(outcome, str):
                    reasons[number][place] = outcome
                else:
                    scores[number][place] = outcome
        told = [_in_one(one, listed=self._listed) for one in reasons]
        return Answer(scores, told, *self._usage.taken())

    def _outcomes(self, items: Mapping[_Item, object]) -> Iterator[tuple[_Item, float | str]]:
        """Each item's score, or why it has none."""
        parts = self._parts(sorted(items, key=_call_of))
        if self._packs or len(parts) == 1:
            for part in parts:
                yield from self._isolated(part)
            return
        with ThreadPoolExecutor(_CALLS_AT_ONCE, "nvrerank-bulk") as threads:
            for outcomes in threads.map(self._isolated, parts):
                yield from outcomes

    def _parts(self, items: list[_Item]) -> list[list[_Item]]:
        """What goes together: calls, or batches across them where the scorer gains by that."""
        calls = [list(call) for _, call in groupby(items, _call_of)]
        if self._whole:
            return calls
        calls = [items] if self._packs else calls
        return [[call[at] for at in part] for call in calls for part in by_count(len(call), self.size)]

    def _isolated(self, items: list[_Item]) -> list[tuple[_Item, float | str]]:
        """As `_outcomes`; what fails is halved until the rest has its scores."""
        outcomes: list[tuple[_Item, float | str]] = []
        waiting = [items]
        while waiting:
            part = waiting.pop()
            try:
                answers: Sequence[float | str] = self._asked(part)
                self._failures, self._works = 0, part[0]
            except STOPS:
                raise
            except NVRerankError as error:
                if len(part) > 1 and not self._whole:
                    half = len(part) // 2
                    waiting += [part[half:], part[:half]]
                    continue
                self._check_works(error, items)
                if (place := _refused(error)) is not None and place < len(part) > 1:
                    waiting.append(part[:place] + part[place + 1 :])
                    part = part[place : place + 1]
                answers = [_told(error)] * len(part)
            outcomes += zip(part, answers, strict=True)
        self._usage.read()
        return outcomes

    def _asked(self, items: Sequence[_Item]) -> list[float]:
        """The scores of items, those of one call in a row."""
        calls = [(query, [text for *_, text in own]) for (_, query), own in groupby(items, _call_of)]
        return [one.logit for answer in self._scorer.score_many_clean(calls) for one in answer]

    def _check_works(self, error: NVRerankError, items: Sequence[_Item]) -> None:
        """After some failures in a row, tries a pair that could be scored before, else several of these.

        Raises:
            ScoringError: None can be scored; it is not the rows' fault.
        """
        if _refused(error) is not None:
            return
        self._failures += 1
        if self._failures < _FAILURES_IN_A_ROW:
            return
        tried = [self._works] if self._works else items[:: max(1, len(items) // _TRIED)]
        for item in tried:
            try:
                self._asked([item])
            except NVRerankError as again:
                error = again
            else:
                self._failures, self._works = 0, item
                return
        raise ScoringError(
            f"{self._failures} pairs in a row could not be scored, nor any that was tried: {_told(error)}"
        ) from error


class _UsageMeter:
    """What the scorers within have counted since it was last asked."""

    def __init__(self, scorer: Scorer) -> None:
        self._leaves: list[Any] = _leaves(scorer)
        self._lock = threading.Lock()
        self._seen: dict[int, tuple[Any, ...]] = {}
        self._read = [getattr(leaf, "tokens_read", 0) for leaf in self._leaves]
        self._requests = self._tokens = 0
        self.read()
        self.taken()

    def read(self) -> None:
        """To be called after each few calls: a scorer remembers a hundred."""
        with self._lock:
            for place, leaf in enumerate(self._leaves):
                calls = getattr(leaf, "usage", ())
                known = set(map(id, self._seen.get(place, ())))
                self._seen[place] = calls  # kept, so that no other gets the id of one
                for one in calls:
                    if id(one) not in known:
                        self._requests += one.requests
                        self._tokens += one.total_tokens or one.prompt_tokens or 0
                read = getattr(leaf, "tokens_read", 0)
                self._tokens += read - self._read[place]
                self._read[place] = read

    def taken(self) -> tuple[int, int]:
        """Requests and tokens since the last time."""
        taken, self._requests, self._tokens = (self._requests, self._tokens), 0, 0
        return taken


def _leaves(scorer: Scorer) -> list[Scorer]:
    """The scorers that score, within those that are made of others."""
    if not isinstance(scorer, Composed):
        return [scorer]
    return [leaf for inner in scorer.within for leaf in _leaves(inner)]


def _checked(query: object, passages: object, *, listed: bool) -> tuple[list[object], dict[int, str]]:
    """A row's passages, and by their places what is wrong with them; -1: with the whole row."""
    if listed and not isinstance(passages, list):
        return [], {-1: "there is no list of passages" if passages is None else _fault("list", passages)}
    texts = list(passages) if isinstance(passages, list) and listed else [passages]
    if fault := _fault("query", query):
        return texts, {-1: fault}
    return texts, {place: fault for place, text in enumerate(texts) if (fault := _fault("passage", text))}


def _fault(what: str, text: object) -> str:
    if text is None:
        return f"the {what} is missing"
    if not isinstance(text, str) or what == "list":
        return f"the {what} is not {'text' if what != 'list' else 'a list'} but {type(text).__name__}"
    return f"the {what} is blank" if is_blank(text) else ""


def _in_one(reasons: Mapping[int, str], *, listed: bool) -> str | None:
    """A row's reasons in one."""
    told = [
        f"passages[{place}]: {reason}" if listed and place >= 0 else reason
        for place, reason in sorted(reasons.items())
    ]
    return "; ".join(told) or None


def _refused(error: NVRerankError) -> int | None:
    """The place of the passage that a scorer refuses; None: it doesn't say."""
    return error.index if isinstance(error, RequestRejectedError) else None


def _told(error: NVRerankError) -> str:
    """What is kept of an error, whose index is that of our call."""
    if isinstance(error, ScoringError) and isinstance(error.__cause__, Exception):
        return " ".join(f"{type(error.__cause__).__name__}: {error.__cause__}".split())
    return " ".join(f"{type(error).__name__}: {Exception.__str__(error)}".split())
