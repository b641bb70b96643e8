"""Calls of many callers, in the order of their arrival, given out in batches. Knows no HTTP."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from nvrerank.errors import ServiceUnavailableError
from nvrerank.scorer import Scored

_CHARACTERS = 4  # a token, roughly; each pair has some for the prompt
_LONGEST_BATCH, _LEAST_BATCH = 0.5, 1024  # seconds; tokens, whatever they take
_LONGEST_PAUSE = 60  # seconds that a caller is asked to wait at most


@dataclass(eq=False, slots=True)
class QueuedCall:
    """What one request asks, until it is answered; `tokens` is about how many it has."""

    query: str
    texts: Sequence[str]
    instruction: str | None = None
    answer: Future[list[Scored]] = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)
    tokens: int = 0

    def __post_init__(self) -> None:
        # nothing is tokenised twice for an exact number
        asked = len(self.query) + len(self.instruction or "")
        self.tokens = sum(1 + (asked + len(text)) // _CHARACTERS for text in self.texts)


class Watch(Protocol):
    """Whom the queue tells what happens; called from any thread."""

    def waited(self, seconds: float) -> None:
        """A call's time in the queue is over."""

    def computed(self, calls: int, passages: int, tokens: int, seconds: float) -> None:
        """The model was run for some calls."""

    def left(self, passages: int) -> None:
        """A caller went away while its call was waiting."""


class CallQueue:
    """Calls in the order of their arrival, given out in batches. Safe in threads.

    Args:
        batch_tokens: About how many tokens a batch holds; fewer where the model takes long for them. A call
            that has more is one by itself.
        max_wait: Seconds that the first call may wait for others while nothing else is in its way.
        max_passages: With so many waiting no more are taken, but a call that finds nobody is.
        max_seconds: Likewise with as many as the model does in that time, at its pace of late.
        watch: Is told of times and of callers who left.
    """

    def __init__(
        self, batch_tokens: int, max_wait: float, max_passages: int, max_seconds: float, watch: Watch
    ) -> None:
        self._batch_tokens, self._max_wait = batch_tokens, max_wait
        self._max_passages, self._max_seconds = max_passages, max_seconds
        self._watch = watch
        self._calls: deque[QueuedCall] = deque()
        self._changed = threading.Condition()
        self._open = True
        self._pace = self._token_pace = math.inf  # passages and tokens a second, of late
        self._busy = 0  # batches under way
        self.passages = self.tokens = 0

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def full(self) -> bool:
        """Whether one more call, as large as those that wait are on average, would be refused."""
        return self.passages * (1 + 1 / max(1, len(self._calls))) > self._bound()

    def retry_after(self) -> float:
        """Seconds until what waits now is done, at the pace of late."""
        return min(_LONGEST_PAUSE, max(1, math.ceil(self.passages / self._pace)))

    def put(self, call: QueuedCall) -> None:
        """Lets a call wait; one whose answer is cancelled meanwhile goes at once.

        Raises:
            ServiceUnavailableError: Too many passages wait, or the server is stopping.
        """
        with self._changed:
            if not self._open:
                raise ServiceUnavailableError("the server is stopping: try another", retry_after=1)
            if self._calls and self.passages + len(call.texts) > self._bound():
                raise ServiceUnavailableError(
                    f"{self.passages} passages are waiting: try again later", retry_after=self.retry_after()
                )
            self._calls.append(call)
            self._count(call, 1)
            self._changed.notify()
        call.answer.add_done_callback(lambda answer: self._leave(call) if answer.cancelled() else None)

    def take(self) -> list[QueuedCall]:
        """The next batch, when there is one; an empty one once the queue is closed and done."""
        with self._changed:
            while self._calls or self._open:
                if not self._calls:
                    self._changed.wait()
                    continue
                pause = self._calls[0].arrived + self._max_wait - time.monotonic()
                if pause > 0 and self._open and self.tokens < self._batch_tokens:
                    self._changed.wait(pause)
                elif batch := self._batch():
                    self._busy += 1
                    return batch
            self._changed.notify_all()
            return []

    def done(self, passages: int, tokens: int, seconds: float) -> None:
        """Learns the pace from a batch, which shares the model with those beside it."""
        share = self._busy / max(seconds, 1e-3)
        self._pace = _smoothed(self._pace, passages * share)
        self._token_pace = _smoothed(self._token_pace, tokens * share)

    def rest(self) -> None:
        """A batch is no longer under way."""
        with self._changed:
            self._busy -= 1

    def open(self) -> None:
        """Takes calls again."""
        self._open = True

    def close(self) -> None:
        """Takes no more calls, and refuses what waits."""
        with self._changed:
            self._open = False
            refused, self._calls = list(self._calls), deque()
            self.passages = self.tokens = 0
            self._changed.notify_all()
        for call in refused:
            if call.answer.set_running_or_notify_cancel():
                call.answer.set_exception(ServiceUnavailableError("the server is stopping: try another"))

    def _bound(self) -> float:
        return min(self._max_passages, max(1.0, self._pace * self._max_seconds))

    def _batch(self) -> list[QueuedCall]:
        batch: list[QueuedCall] = []
        room = min(self._batch_tokens, max(_LEAST_BATCH, self._token_pace * _LONGEST_BATCH))
        now = time.monotonic()
        while self._calls and (not batch or self._calls[0].tokens <= room):
            call = self._calls.popleft()
            self._count(call, -1)
            if call.answer.set_running_or_notify_cancel():
                self._watch.waited(now - call.arrived)
                room -= call.tokens
                batch.append(call)
        return batch

    def _leave(self, call: QueuedCall) -> None:
        with self._changed:
            if call in self._calls:
                self._calls.remove(call)
                self._count(call, -1)
        self._watch.left(len(call.texts))

    def _count(self, call: QueuedCall, sign: int) -> None:
        self.passages += sign * len(call.texts)
        self.tokens += sign * call.tokens


def _smoothed(before: float, now: float) -> float:
    return now if math.isinf(before) else 0.8 * before + 0.2 * now
