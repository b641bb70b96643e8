"""A call's deadline, and the way to end the call early, without leaving a trace on its connections.

httpcore has time limits for single reads and writes only, and a task that is cancelled inside it may leave a
connection in its pool for ever. So every read and write passes through here: it is limited to what is left of
the deadline, and stopping makes it fail as a broken connection does, which httpcore clears up after.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Hashable
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

import httpcore

_T = TypeVar("_T")

_PIECE = 64 * 1024  # bytes written at once: between two pieces the deadline is looked at
_READ = 256 * 1024  # as much as asyncio reads at once, so that nothing waits unseen behind an answer


class Deadline:
    """What is left of a call's time; stopping it ends all that the call waits for.

    Args:
        timeout: Seconds that the call may take from now on, all in all.

    Attributes:
        stopped: Set once the rest of the call is not wanted any more.
    """

    def __init__(self, timeout: float) -> None:
        self.stopped = threading.Event()
        self._ends = time.monotonic() + timeout
        self._lock = threading.Lock()
        self._interrupts: dict[Hashable, Callable[[], object]] = {}

    def remaining(self) -> float:
        """Seconds left; 0 or less: none, or stopped."""
        return 0.0 if self.stopped.is_set() else self._ends - time.monotonic()

    def hold(self, who: Hashable, interrupt: Callable[[], object]) -> float:
        """From here to `release`, stopping interrupts with this.

        Args:
            who: The thread or task that is about to wait.
            interrupt: Ends its wait.

        Returns:
            Seconds left.
        """
        with self._lock:
            self._interrupts[who] = interrupt
            if self.stopped.is_set():
                interrupt()
        return self.remaining()

    def release(self, who: Hashable) -> None:
        """The thread or task does not wait any more."""
        with self._lock:
            self._interrupts.pop(who, None)

    def stop(self) -> None:
        """Ends all that is waited for; in tasks from their own thread alone."""
        self.stopped.set()
        with self._lock:
            for interrupt in self._interrupts.values():
                interrupt()


current: ContextVar[Deadline | None] = ContextVar("nvrerank_deadline", default=None)
"""The deadline of the request that this thread or task is at: connections are shared."""


class _Stream:
    """A connection around httpcore's.

    Attributes:
        heard: Whether anything was read since the last write.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.heard = True

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class DeadlineStream(_Stream, httpcore.NetworkStream):
    """A connection whose reads and writes the current deadline limits."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = self._stream.read(max_bytes, self._left(timeout, httpcore.ReadTimeout))
        self.heard = True
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.heard = False
        for start in range(0, len(buffer), _PIECE):
            left = self._left(timeout, httpcore.WriteTimeout)
            self._stream.write(buffer[start : start + _PIECE], left)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._left(timeout, httpcore.ConnectTimeout)
        return DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, left))

    def _left(self, timeout: float | None, late: type[httpcore.TimeoutException]) -> float | None:
        deadline = current.get()
        if deadline is None:
            return timeout
        left = deadline.hold(threading.get_ident(), self._hang_up)
        if left <= 0:
            raise late("the call's deadline has passed")
        return left

    def _hang_up(self) -> None:
        """Wakes a thread that reads or writes; the connection is then closed by that thread."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._stream.get_extra_info("socket"), socket.SHUT_RDWR)


class DeadlineBackend(httpcore.SyncBackend):
    """Opens connections that the current deadline limits."""

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *more: Any, **options: Any
    ) -> httpcore.NetworkStream:
        deadline = current.get()
        if deadline is not None:
            timeout = deadline.remaining()
            if timeout <= 0:
                raise httpcore.ConnectTimeout("the call's deadline has passed")
        return DeadlineStream(super().connect_tcp(host, port, timeout, *more, **options))


class AsyncDeadlineStream(_Stream, httpcore.AsyncNetworkStream):
    """A connection whose reads and writes end when the current deadline is stopped."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = await _stoppable(lambda: self._stream.read(max(max_bytes, _READ), timeout))
        self.heard = True
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.heard = False
        await _stoppable(lambda: self._stream.write(buffer, timeout))

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        stream = await _stoppable(lambda: self._stream.start_tls(ssl_context, server_hostname, timeout))
        return AsyncDeadlineStream(stream)


class AsyncDeadlineBackend(httpcore.AnyIOBackend):
    """Opens connections that end when the current deadline is stopped.

    Args:
        opened: Called with each new connection.
    """

    def __init__(self, opened: Callable[[AsyncDeadlineStream], object]) -> None:
        self._opened = opened

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *more: Any, **options: Any
    ) -> httpcore.AsyncNetworkStream:
        connect = partial(super().connect_tcp, host, port, timeout, *more, **options)
        stream = AsyncDeadlineStream(await _stoppable(connect))
        self._opened(stream)
        return stream


async def _stoppable(operation: Callable[[], Awaitable[_T]]) -> _T:
    """Awaits an operation that stopping turns into a broken connection."""
    deadline = current.get()
    task = asyncio.current_task()
    if deadline is None or task is None:
        return await operation()
    if deadline.stopped.is_set():
        raise httpcore.ReadError("the rest of the call is not wanted any more")
    deadline.hold(task, task.cancel)
    try:
        return await operation()
    except asyncio.CancelledError:
        if not deadline.stopped.is_set():
            raise
        task.uncancel()
        raise httpcore.ReadError("the rest of the call is not wanted any more") from None
    finally:
        deadline.release(task)
