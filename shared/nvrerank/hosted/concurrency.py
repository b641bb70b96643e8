"""What may be under way at once: requests of all calls, batches of one call, retries of everybody."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from .deadline import Deadline

B = TypeVar("B")
R = TypeVar("R")


class Limiter:
    """Slots for so many at once, first come, first served, threads and tasks in one queue.

    Args:
        slots: How many there are.
    """

    def __init__(self, slots: int) -> None:
        self._lock = threading.Lock()
        self._free = slots
        self._queue: deque[tuple[asyncio.AbstractEventLoop | None, Future[None]]] = deque()

    def acquire(self, deadline: Deadline) -> bool:
        """Waits for a slot; False: there was none until the deadline, or it was stopped."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            granted: Future[None] = Future()
            self._queue.append((None, granted))
        thread = threading.get_ident()
        try:
            granted.result(deadline.hold(thread, granted.cancel))
        except CancelledError:
            return False
        except TimeoutError:
            return not granted.cancel()
        except BaseException:
            self._leave(granted)
            raise
        finally:
            deadline.release(thread)
        return True

    async def aacquire(self, deadline: Deadline) -> bool:
        """As `acquire`, for a task; one that is cancelled leaves the queue."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            granted: Future[None] = Future()
            self._queue.append((asyncio.get_running_loop(), granted))
        try:
            await asyncio.wait({asyncio.wrap_future(granted)}, timeout=deadline.remaining())
        except BaseException:
            self._leave(granted)
            raise
        return not granted.cancel()

    def release(self) -> None:
        """Hands a slot to the next in the queue that still waits, and whose event loop is not dead."""
        with self._lock:
            while self._queue:
                loop, granted = self._queue.popleft()
                if not (loop and loop.is_closed()) and granted.set_running_or_notify_cancel():
                    break  # from here on it can't leave without its slot
            else:
                self._free += 1
                return
        granted.set_result(None)

    def _leave(self, granted: Future[None]) -> None:
        if not granted.cancel():
            self.release()


class RetryBudget:
    """Retries that may be spent: an outage is not made worse by everybody trying again.

    500 tokens, 5 a retry, 1 back a success, as in AWS's clients.
    """

    FULL = 500
    RETRY = 5

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens = self.FULL

    def spend(self) -> bool:
        """Whether a retry may be made; it is then paid for."""
        with self._lock:
            if self._tokens < self.RETRY:
                return False
            self._tokens -= self.RETRY
            return True

    def refund(self) -> None:
        """A request was answered."""
        with self._lock:
            self._tokens = min(self.FULL, self._tokens + 1)


def in_threads(score: Callable[[B], R], batches: Sequence[B], width: int, deadline: Deadline) -> list[R]:
    """Scores all batches of a call; the first error stops the others.

    Args:
        score: Scores one batch.
        batches: The batches.
        width: How many at once; one alone is scored in the caller's own thread.
        deadline: The call's.
    """
    if min(width, len(batches)) == 1:
        return [score(batch) for batch in batches]
    scored: dict[int, R] = {}
    errors: list[Exception] = []
    rest = iter(enumerate(batches))

    def work() -> None:
        for number, batch in rest:
            if deadline.stopped.is_set():
                return
            try:
                scored[number] = score(batch)
            except Exception as error:  # noqa: BLE001 (it is raised below)
                errors.append(error)
                deadline.stop()

    with ThreadPoolExecutor(min(width, len(batches)), thread_name_prefix="nvrerank") as threads:
        try:
            wait([threads.submit(work) for _ in range(min(width, len(batches)))])
        except BaseException:  # such as a KeyboardInterrupt
            deadline.stop()
            raise
    if errors:
        raise errors[0]
    return [scored[number] for number in range(len(batches))]


async def in_tasks(
    score: Callable[[B], Coroutine[None, None, R]], batches: Sequence[B], width: int
) -> list[R]:
    """As `in_threads`, in tasks."""
    if min(width, len(batches)) == 1:
        return [await score(batch) for batch in batches]
    scored: dict[int, R] = {}
    rest = iter(enumerate(batches))

    async def work() -> None:
        for number, batch in rest:
            scored[number] = await score(batch)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(width, len(batches))):
                group.create_task(work())
    except ExceptionGroup as errors:
        error = errors.exceptions[0]
    else:
        return [scored[number] for number in range(len(batches))]
    raise error  # here, so that the others are no part of its history
