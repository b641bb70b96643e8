"""Limited: a scorer that is asked no more often than its service allows."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial

from nvrerank._checks import checked_integer, checked_number
from nvrerank.errors import RateLimitError
from nvrerank.per_process import PerProcess
from nvrerank.scorer import Scored, Scorer, scores_together

from .arrivals import Arrivals, Place
from .composed import Around

_MINUTE = 60.0


class Limited(Around):
    """Lets a scorer be called so often a minute, and so often at once.

    Calls wait in order of arrival, those of threads and of event loops in one queue; one that is cancelled
    gives its place up. The limits are each process's own: divide them where several share a key. A call is
    one request as long as a `HostedScorer` has no more passages than its `max_batch_size`; its `timeout`
    begins with the turn.

    Args:
        scorer: What is called.
        requests_per_minute: Calls that begin within any 60 seconds, at most.
        max_concurrency: Calls under way at once, at most.
        max_wait: Seconds that a call waits for its turn; None: as long as it takes.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: There is no limit at all, or one is out of range.

    A call that would wait longer is a `RateLimitError`.
    """

    def __init__(
        self,
        scorer: Scorer,
        *,
        requests_per_minute: int | None = None,
        max_concurrency: int | None = None,
        max_wait: float | None = None,
    ) -> None:
        super().__init__(scorer)
        limits = {"requests_per_minute": requests_per_minute, "max_concurrency": max_concurrency}
        given = {name: value for name, value in limits.items() if value is not None}
        if not given:
            raise ValueError("nothing is limited: give requests_per_minute, max_concurrency or both")
        for name, value in given.items():
            checked_integer(name, value, least=1)
        self._max_wait = None if max_wait is None else checked_number("max_wait", max_wait, least=0)
        self._limits = ", ".join(f"{name}={value}" for name, value in given.items())
        self._arrivals = PerProcess(partial(Arrivals, requests_per_minute, _MINUTE, max_concurrency))

    def _score(self, query: str, passages: Sequence[str]) -> list[Scored]:
        with self._turn():
            return self.scorer.score_clean(query, passages)

    async def _ascore(self, query: str, passages: Sequence[str]) -> list[Scored]:
        async with self._aturn():
            return await self.scorer.ascore_clean(query, passages)

    def _score_many(self, calls: Sequence[tuple[str, Sequence[str]]]) -> Sequence[Sequence[float | Scored]]:
        """One call of a scorer that takes several queries at once; else a call for each."""
        if not scores_together(self.scorer):
            return super()._score_many(calls)
        with self._turn():
            return self.scorer.score_many_clean(calls)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        bell = threading.Event()
        with self._arrivals.get().place(partial(_ring, bell)) as place:
            while (pause := self._pause(place)) is not None:
                bell.wait(pause)
                bell.clear()
            yield

    @asynccontextmanager
    async def _aturn(self) -> AsyncIterator[None]:
        bell = asyncio.Event()
        with self._arrivals.get().place(partial(_ring_in, asyncio.get_running_loop(), bell)) as place:
            while (pause := self._pause(place)) is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await bell.wait()
                bell.clear()
            yield

    def _pause(self, place: Place) -> float | None:
        """Seconds until this call should ask for its turn again; None: it begins.

        Raises:
            RateLimitError: That would be after `max_wait`.
        """
        now = time.monotonic()
        pause = self._arrivals.get().pause(place, now)
        if pause is None:
            return None
        left = _MINUTE if self._max_wait is None else place.since + self._max_wait - now
        if self._max_wait is not None and (left <= 0 or left < pause < math.inf):
            raise RateLimitError(
                f"{self.name} had no turn within max_wait={self._max_wait:g} seconds ({self._limits}): "
                "try later, or wait longer",
                retry_after=pause if pause < math.inf else None,
            )
        return min(pause, left)

    def __repr__(self) -> str:
        wait = "" if self._max_wait is None else f", max_wait={self._max_wait:g}"
        return f"{type(self).__name__}({self.scorer!r}, {self._limits}{wait})"


def _ring(bell: threading.Event) -> bool:
    bell.set()
    return True


def _ring_in(loop: asyncio.AbstractEventLoop, bell: asyncio.Event) -> bool:
    """Whether the event loop that waits is still there to be told."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(bell.set)
        return True
    return False
