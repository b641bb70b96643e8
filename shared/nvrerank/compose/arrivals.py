"""Turns in order of arrival, so many a minute and so many at once.

Own code, since the libraries for it keep no order of arrival over threads and event loops: pyrate-limiter
sleeps and tries again, aiolimiter is for one loop.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Place:
    """Somebody's place in the queue.

    Args:
        wake: Makes its owner ask again; returns False if there is nobody any more.

    Attributes:
        since: When it was taken.
        running: Whether its turn has begun.
    """

    def __init__(self, wake: Callable[[], bool]) -> None:
        self.wake = wake
        self.since = time.monotonic()
        self.running = False


class Arrivals:
    """Who waits, and who may begin; for any number of threads.

    Args:
        requests: Most turns that begin within `seconds`; None: any number.
        seconds: The length of that window, which moves.
        concurrency: Most turns under way at once; None: any number.
    """

    def __init__(self, requests: int | None, seconds: float, concurrency: int | None) -> None:
        self._lock = threading.RLock()  # a coroutine that is collected leaves in whatever thread that happens
        self._waiting: deque[Place] = deque()
        self._begun: deque[float] = deque(maxlen=requests or 0)
        self._requests = requests
        self._seconds = seconds
        self._free = math.inf if concurrency is None else concurrency

    @contextmanager
    def place(self, wake: Callable[[], bool]) -> Iterator[Place]:
        """A place at the end of the queue, given up at the end of the block, in a turn or not."""
        place = Place(wake)
        with self._lock:
            self._waiting.append(place)
        try:
            yield place
        finally:
            with self._lock:
                if place.running:
                    self._free += 1
                elif place in self._waiting:
                    self._waiting.remove(place)
                self._wake_first()

    def pause(self, place: Place, now: float) -> float | None:
        """Seconds until the owner of a place should ask again; None: its turn begins now.

        Infinity: it will be woken, since it is another's turn first.
        """
        with self._lock:
            if self._waiting[0] is not place or self._free < 1:
                return math.inf
            due = self._begun[0] + self._seconds if len(self._begun) == self._requests else now
            if due > now:
                return due - now
            self._waiting.popleft()
            place.running = True
            self._free -= 1
            self._begun.append(now)
            self._wake_first()
            return None

    def _wake_first(self) -> None:
        while self._waiting and not self._waiting[0].wake():
            self._waiting.popleft()
