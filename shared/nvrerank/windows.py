"""A long passage becomes overlapping windows, and their scores one score. Pure.

FirstP, MaxP and the mean over parts are as in Dai and Callan, "Deeper Text Understanding for IR with
Contextual Neural Language Modeling" (SIGIR 2019).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal, get_args

from ._checks import checked_integer
from .errors import InvalidArgumentError, RequestRejectedError
from .images import has_image
from .scorer import Scored
from .segmentation import Boundaries, Span, cut_windows
from .token_counter import TokenCounter

Pool = Literal["max", "mean", "first"]
LongPassages = Literal["truncate", "windows", "error"]
Truncate = Literal["END", "NONE"]

OVERLAP = 64


@dataclass(frozen=True, slots=True)
class Cutting:
    """How long passages are cut; checked at construction.

    Attributes:
        size: Most tokens of a window; None: what the model reads beside the query.
        overlap: Least tokens that neighbours share, at most a quarter of a window; None: 64, or that quarter.
        pool: What the passage's score is: "max" of its windows, their "mean", or the "first" alone.

    Raises:
        TypeError: size or overlap is no integer.
        ValueError: A value is out of range or unknown.
    """

    size: int | None = None
    overlap: int | None = None
    pool: Pool = "max"

    def __post_init__(self) -> None:
        if self.size is not None:
            checked_integer("size", self.size, least=1)
        if self.overlap is not None:
            checked_integer("overlap", self.overlap, least=0)
            if self.size is not None and self.overlap > self.size // 4:
                raise ValueError(
                    f"overlap must be at most a quarter of size, not {self.overlap} of {self.size}"
                )
        if self.pool not in get_args(Pool):
            raise ValueError(f"pool must be 'max', 'mean' or 'first', not {self.pool!r}")

    def plan(self, counter: TokenCounter, passages: Sequence[str]) -> WindowPlan:
        """Cuts the passages that are too long; one with an image is left whole, and whether it fits unknown.

        Args:
            counter: Counts tokens beside the query.
            passages: Clean passages, none blank.

        Raises:
            InvalidArgumentError: It is not known how many tokens the model reads, and there is no `size`.
        """
        most = self._most(counter)
        counts = counter.counts(passages)
        spans = [
            [(0, len(text))] if count <= most or has_image(text) else self._spans(text, counter, most)
            for text, count in zip(passages, counts, strict=True)
        ]
        read = [each[:1] for each in spans] if self.pool == "first" else spans
        unread = [len(each) > len(kept) for each, kept in zip(spans, read, strict=True)]
        return WindowPlan(passages, read, unread, self.pool, exact=counter.exact, query=counter.query)

    def _most(self, counter: TokenCounter) -> int:
        limits = [limit for limit in (self.size, counter.room) if limit is not None]
        if not limits:
            raise InvalidArgumentError("it is not known how many tokens the model reads: give size=")
        if min(limits) < 1:
            raise RequestRejectedError("the query leaves no room for a passage: shorten it")
        return min(limits)

    def _spans(self, text: str, counter: TokenCounter, most: int) -> list[Span]:
        """Windows of at most so many tokens, by the count of each as a text of its own.

        Cut off, a piece can have other tokens than within its passage: then all is cut shorter.
        """
        ends, boundaries = counter.ends(text), Boundaries(text)
        overlap = OVERLAP if self.overlap is None else self.overlap
        budget = most
        while True:
            spans = list(cut_windows(text, ends, boundaries, budget, min(overlap, budget // 4)))
            excess = max(counter.counts([text[start:end] for start, end in spans])) - most
            if excess <= 0 or budget == 1:
                return spans
            budget = max(1, budget * most // (most + excess))


class WindowPlan:
    """What is to be scored, and whose it is.

    Args:
        passages: The passages.
        spans: For each the windows to score; one that is all of it: the passage is not cut.
        unread: For each whether there is more of it that is not to be scored.
        pool: How a passage's windows become one score.
        exact: Whether all windows are known to fit.
        query: The query's beginning, if only that is to be asked with; None: all of it.

    Attributes:
        texts: Each distinct window, in order of first appearance.
    """

    def __init__(
        self,
        passages: Sequence[str],
        spans: Sequence[list[Span]],
        unread: list[bool],
        pool: Pool,
        *,
        exact: bool,
        query: str | None = None,
    ) -> None:
        first: dict[str, int] = {}
        self._slots = [
            [
                first.setdefault(text if has_image(text) else text[start:end], len(first))
                for start, end in each
            ]
            for text, each in zip(passages, spans, strict=True)
        ]
        self.texts = list(first)
        self._spans = spans
        self._unread = unread
        self._lengths = [len(text) for text in passages]
        self._pool = pool
        self._exact = [exact and not has_image(text) for text in passages]
        self.query = query

    def pooled(self, scored: Sequence[Scored]) -> list[Scored]:
        """One score for each passage from one for each of `texts`.

        `window` is the best window, the earliest of equals; None: the passage was not cut.
        """
        return [self._one(index, [scored[slot] for slot in slots]) for index, slots in enumerate(self._slots)]

    @contextmanager
    def naming_passages(self) -> Iterator[None]:
        """Within it an error about one of `texts` becomes one about its passage."""
        try:
            yield
        except RequestRejectedError as error:
            error.reindex(
                lambda window: next((i for i, own in enumerate(self._slots) if window in own), None)
            )
            raise

    def _one(self, index: int, parts: list[Scored]) -> Scored:
        best = max(range(len(parts)), key=lambda part: parts[part].logit)
        start, end = self._spans[index][best]
        inner = parts[best].window
        window = (start, end) if inner is None else (start + inner[0], start + inner[1])
        logits = [part.logit for part in parts]
        logit = math.fsum(logits) / len(logits) if self._pool == "mean" else max(logits)
        whole = window == (0, self._lengths[index])
        asked_less = self.query is not None or any(part.query_truncated for part in parts)
        told = None if whole else window
        return Scored(logit, self._truncated(index, parts), told, asked_less, parts[best].source)

    def _truncated(self, index: int, parts: list[Scored]) -> bool | None:
        told = [part.truncated for part in parts]
        if self._unread[index] or True in told:
            return True
        return False if self._exact[index] or None not in told else None


@contextmanager
def naming_passages(plans: Sequence[WindowPlan]) -> Iterator[None]:
    """As `WindowPlan.naming_passages`, for a call of several plans: then whose window it is isn't known."""
    try:
        with plans[0].naming_passages() if len(plans) == 1 else nullcontext():
            yield
    except RequestRejectedError as error:
        if len(plans) > 1:
            error.reindex(lambda _: None)
        raise


def settled(long_passages: LongPassages | None, truncate: str | None) -> LongPassages:
    """What becomes of a passage that is too long, from both ways of saying so.

    Args:
        long_passages: None: as `truncate` says.
        truncate: The official "END" or "NONE", which is "error"; None: as `long_passages` says.

    Raises:
        ValueError: One is unknown, or they contradict each other.
    """
    if truncate is not None and truncate not in get_args(Truncate):
        raise ValueError(f"truncate must be 'END', 'NONE' or None, not {truncate!r}")
    if long_passages is None:
        return "error" if truncate == "NONE" else "truncate"
    if long_passages not in get_args(LongPassages):
        raise ValueError(f"long_passages must be 'truncate', 'windows' or 'error', not {long_passages!r}")
    if truncate is not None and (truncate == "NONE") != (long_passages == "error"):
        raise ValueError(
            f"long_passages={long_passages!r} and truncate={truncate!r} contradict each other: leave one out"
        )
    return long_passages
