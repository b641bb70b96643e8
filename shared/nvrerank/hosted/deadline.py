"""One request under way: it ends at its deadline, or as soon as nobody wants it, without leaving a trace.

httpx has time limits for single reads and writes only, and a task that is cancelled inside it may
leave a connection in its pool for ever. So every read and write passes through here: it is limited to
what is left of the deadline, and stopping makes it fail as a broken connection does, which httpx
clears up after.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any, Self, TypeVar

import httpcore

_T = TypeVar("_T")

_PIECE = 64 * 1024  # bytes written at once: between two pieces the deadline is looked at
_READ = 256 * 1024  # as much as asyncio reads at once, so that nothing waits unseen behind an answer

_current: ContextVar[Watch | None] = ContextVar("nvrerank_watch", default=None)


class Watch:
    """One request's deadline, and the way to end it early.

    Args:
        ends: When, by `time.monotonic()`.
    """

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.stopped = False
        self._lock = threading.Lock()
        self._interrupt: Callable[[], object] | None = None

    def remaining(self) -> float:
        """Seconds left; 0 or less: none, or stopped."""
        return 0.0 if self.stopped else self.ends - time.monotonic()

    def hold(self, interrupt: Callable[[], object]) -> None:
        """From here to `release`, stopping interrupts with this."""
        with self._lock:
            self._interrupt = interrupt
            if self.stopped:
                interrupt()

    def release(self) -> None:
        """Nothing is to be interrupted any more."""
        with self._lock:
            self._interrupt = None

    def stop(self) -> None:
        """Ends the request; from any thread if it is a synchronous one."""
        with self._lock:
            self.stopped = True
            if self._interrupt:
                self._interrupt()

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


class WatchedStream(httpcore.NetworkStream):
    """A connection whose reads and writes a `Watch` limits.

    Attributes:
        heard: Whether anything was read since the last write.
    """

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self.heard = True

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, self._left(timeout, httpcore.ReadTimeout))
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
        return WatchedStream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _left(self, timeout: float | None, late: type[httpcore.TimeoutException]) -> float | None:
        watch = _current.get()
        if watch is None:
            return timeout
        watch.hold(self._hang_up)
        left = watch.remaining()
        if left <= 0:
            raise late("the call's deadline has passed")
        return left

    def _hang_up(self) -> None:
        """Wakes a thread that reads or writes; the connection is then closed by that thread."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._stream.get_extra_info("socket"), socket.SHUT_RDWR)


class WatchedBackend(httpcore.NetworkBackend):
    """Opens connections that are watched."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        watch = _current.get()
        if watch is not None:
            timeout = watch.remaining()
            if timeout <= 0:
                raise httpcore.ConnectTimeout("the call's deadline has passed")
        return WatchedStream(self._backend.connect_tcp(host, port, timeout, local_address, socket_options))


class AsyncWatchedStream(httpcore.AsyncNetworkStream):
    """A connection whose reads and writes end when their `Watch` is stopped.

    Attributes:
        heard: Whether anything was read since the last write.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self.heard = True

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await _stoppable(lambda: self._stream.read(max(max_bytes, _READ), timeout))
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
        return AsyncWatchedStream(stream)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class AsyncWatchedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections that are watched.

    Args:
        backend: What opens them.
        opened: Called with each new connection.
    """

    def __init__(
        self, backend: httpcore.AsyncNetworkBackend, opened: Callable[[AsyncWatchedStream], object]
    ) -> None:
        self._backend = backend
        self._opened = opened

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = AsyncWatchedStream(
            await _stoppable(
                lambda: self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
            )
        )
        self._opened(stream)
        return stream


async def _stoppable(operation: Callable[[], Awaitable[_T]]) -> _T:
    """Awaits an operation that stopping turns into a broken connection."""
    watch = _current.get()
    task = asyncio.current_task()
    if watch is None or task is None:
        return await operation()
    if watch.stopped:
        raise httpcore.ReadError("nobody waits for it any more")
    watch.hold(task.cancel)
    try:
        return await operation()
    except asyncio.CancelledError:
        if not watch.stopped:
            raise
        task.uncancel()
        raise httpcore.ReadError("nobody waits for it any more") from None
    finally:
        watch.release()
