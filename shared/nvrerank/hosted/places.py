"""What the calls of one scorer share across threads and event loops: places and the retry budget."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class _Waiting:
    loop: asyncio.AbstractEventLoop | None  # None: a thread waits
    granted: Future[None] = field(default_factory=Future)

    def wants(self) -> bool:
        """Whether it is still there; if so, it can't leave any more without its place."""
        if self.loop and self.loop.is_closed():
            return False
        return self.granted.set_running_or_notify_cancel()

    def left(self) -> bool:
        """Whether it leaves without a place; else it has been given one."""
        return self.granted.cancel()


class Places:
    """So many at once, first come, first served, threads and tasks in one queue.

    Args:
        count: How many may hold a place.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._free = count
        self._queue: deque[_Waiting] = deque()

    def take(self, seconds: float, hold: Callable[[Callable[[], object]], object] | None = None) -> bool:
        """Waits for a place.

        Args:
            seconds: How long.
            hold: Is told what ends the wait early.

        Returns:
            Whether there is one.
        """
        waiting = self._enter(None)
        if waiting is None:
            return True
        if hold:
            hold(waiting.left)
        try:
            waiting.granted.result(seconds)
        except CancelledError:
            return False
        except TimeoutError:
            return not waiting.left()
        except BaseException:
            self._abandon(waiting)
            raise
        return True

    async def atake(self, seconds: float) -> bool:
        """As `take`, for a task; one that is cancelled leaves the queue."""
        waiting = self._enter(asyncio.get_running_loop())
        if waiting is None:
            return True
        try:
            await asyncio.wait({asyncio.wrap_future(waiting.granted)}, timeout=seconds)
        except BaseException:
            self._abandon(waiting)
            raise
        return not waiting.left()

    def give(self) -> None:
        """Hands a place to the next in the queue."""
        with self._lock:
            while self._queue:
                waiting = self._queue.popleft()
                if waiting.wants():
                    break
            else:
                self._free += 1
                return
        waiting.granted.set_result(None)

    def _enter(self, loop: asyncio.AbstractEventLoop | None) -> _Waiting | None:
        """A place at once (None), or one in the queue."""
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            waiting = _Waiting(loop)
            self._queue.append(waiting)
            return waiting

    def _abandon(self, waiting: _Waiting) -> None:
        if not waiting.left():
            self.give()


class Budget:
    """Retries that may be spent: an outage is not made worse by everybody trying again.

    500 tokens, 5 a retry, 1 back a success, as in AWS's clients.
    """

    FULL = 500
    RETRY = 5

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens = self.FULL

    def take(self) -> bool:
        """Whether a retry may be made; it is then paid for."""
        with self._lock:
            if self._tokens < self.RETRY:
                return False
            self._tokens -= self.RETRY
            return True

    def put_back(self) -> None:
        """A request was answered."""
        with self._lock:
            self._tokens = min(self.FULL, self._tokens + 1)
