"""One call while it runs: what is left to do, what came back, and whether anybody still wants it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nvrerank.batches import put_back

from .deadline import Watch
from .protocols import Scores, Usage


@dataclass(frozen=True, slots=True)
class Batch:
    """Passages of one request.

    Attributes:
        positions: Their indices in the call.
        passages: Their texts.
    """

    positions: Sequence[int] = ()
    passages: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"Batch({len(self.positions)} passages)"


class Call:
    """What the threads or tasks of one call share.

    Args:
        timeout: Seconds that the call may take, all in all.
        query: The query.
        passages: The passages.
        plan: Positions of each batch.
        began: When it began, by `time.monotonic`; None: now.
    """

    def __init__(
        self,
        timeout: float,
        query: str = "",
        passages: Sequence[str] = (),
        plan: Sequence[list[int]] = (),
        began: float | None = None,
    ) -> None:
        self.timeout = timeout
        self.ends = (time.monotonic() if began is None else began) + timeout
        self.query = query
        self.error: BaseException | None = None
        self._passages = passages
        self._plan = plan
        self._answers: dict[int, Scores] = {}
        self._next = iter(range(len(plan)))
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watches: set[Watch] = set()

    def remaining(self) -> float:
        """Seconds left of the deadline."""
        return self.ends - time.monotonic()

    def batches(self) -> Iterator[tuple[int, Batch]]:
        """Batches that nobody works on yet, numbered; none once the call is stopped."""
        while not self._stopping.is_set():
            with self._lock:
                number = next(self._next, None)
            if number is None:
                return
            positions = self._plan[number]
            yield number, Batch(positions, [self._passages[position] for position in positions])

    def answer(self, number: int, scores: Scores) -> None:
        """Keeps a batch's scores."""
        self._answers[number] = scores

    def watch(self) -> Watch:
        """A new request's deadline; stopping the call stops it."""
        watch = Watch(self.ends)
        with self._lock:
            self._watches.add(watch)
            watch.stopped = self._stopping.is_set()
        return watch

    def unwatch(self, watch: Watch) -> None:
        """The request is over."""
        with self._lock:
            self._watches.discard(watch)

    def pause(self, seconds: float) -> None:
        """Waits in this thread, unless the call is stopped."""
        if seconds:
            self._stopping.wait(seconds)

    async def apause(self, seconds: float) -> None:
        """Waits in this task, which ends by being cancelled."""
        if seconds:
            await asyncio.sleep(seconds)

    def fail(self, error: BaseException) -> None:
        """The call has failed, the first error counts: what else is under way is stopped."""
        with self._lock:
            self.error = self.error or error
        self.stop()

    def stop(self) -> None:
        """Nobody wants the rest."""
        self._stopping.set()
        with self._lock:
            watches = list(self._watches)
        for watch in watches:
            watch.stop()

    def scores(self) -> list[float]:
        """All scores in input order.

        Raises:
            NVRerankError: The first error there was.
        """
        if self.error:
            raise self.error
        answers = (self._answers[number].logits for number in range(len(self._plan)))
        return put_back(self._plan, answers, len(self._passages))

    def usage(self) -> Usage:
        """What the call cost."""
        each = [scores.usage for scores in self._answers.values()]
        return Usage(
            passages=sum(one.passages for one in each),
            requests=len(each),
            prompt_tokens=_sum([one.prompt_tokens for one in each]),
            total_tokens=_sum([one.total_tokens for one in each]),
            search_units=_sum([one.search_units for one in each]),
        )


def _sum(counts: Sequence[int | None]) -> int | None:
    """None: none of the requests told."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
