"""Connections: one httpx client for all threads and one for each event loop, for as long as each lives."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

import httpx

from nvrerank.errors import ScorerClosedError

from .deadline import AsyncWatchedStream, Watch
from .exchange import LATE, aexchange, exchange
from .making import ClientMaker, ClientSettings
from .messages import Outcome, Request


class Clients:
    """The clients of one process.

    Args:
        settings: How they are made.
        dropped: Called for each request that a dead event loop left under way.
    """

    def __init__(self, settings: ClientSettings, dropped: Callable[[], None]) -> None:
        self._maker = ClientMaker(settings)
        self._watched = settings.transport is None
        self._dropped = dropped
        self._lock = threading.Lock()
        self._closed = False
        self._sync: httpx.Client | None = None
        self._under_way: set[Watch] = set()
        self._loops: dict[asyncio.AbstractEventLoop, _LoopClient] = {}

    def send(self, request: Request, watch: Watch) -> Outcome:
        """Sends a request and reads its answer; an answer that is not to be had is an outcome, too."""
        client = self._client()
        self._under_way.add(watch)
        try:
            return exchange(client, request, watch)
        finally:
            self._under_way.discard(watch)

    async def asend(self, request: Request, watch: Watch, done: Callable[[], None]) -> Outcome:
        """As `send`, in a task of its own that a cancelled caller leaves to us to finish.

        Args:
            request: The request.
            watch: Its deadline.
            done: Called once nothing is under way any more.
        """
        try:
            entry = await self._loop_client()
            task = asyncio.create_task(aexchange(entry.client, request, watch))
        except BaseException:
            done()
            raise
        entry.under_way[task] = watch
        task.add_done_callback(entry.under_way.pop)
        task.add_done_callback(lambda task: _settle(task, done))
        try:
            await asyncio.wait({task}, timeout=max(watch.remaining(), 0))
            return task.result() if task.done() else LATE
        finally:
            if not task.done():
                watch.stop()
                if not self._watched:  # but the caller's own transport
                    task.cancel()

    def drop_dead_loops(self) -> None:
        """Lets go of loops that were closed without `shutdown_asyncgens`, and of the places they held."""
        if not any(loop.is_closed() for loop in tuple(self._loops)):
            return
        with self._lock:
            dead = [self._loops.pop(loop) for loop in tuple(self._loops) if loop.is_closed()]
        for entry in dead:
            self._hang_up(entry)

    def refuse_if_closed(self) -> None:
        """A call that was under way when the scorer was closed ends, and opens no connection again.

        Raises:
            ScorerClosedError: They were closed.
        """
        if self._closed:
            raise ScorerClosedError("the scorer was closed while a call was under way")

    def close(self) -> None:
        """Closes everything: at once what is ours, and soon what belongs to a running loop."""
        with self._lock:
            self._closed = True
            client, self._sync = self._sync, None
            loops, self._loops = self._loops, {}
        for watch in tuple(self._under_way):
            watch.stop()
        if client:
            client.close()
        for loop, entry in loops.items():
            if loop.is_closed():
                self._hang_up(entry)
            else:
                with contextlib.suppress(RuntimeError):  # it was closed just now
                    loop.call_soon_threadsafe(entry.close_soon)

    async def aclose(self) -> None:
        """As `close`, and waits for this loop's connections."""
        with self._lock:
            entry = self._loops.pop(asyncio.get_running_loop(), None)
        if entry:
            await entry.life.aclose()
        self.close()

    def _client(self) -> httpx.Client:
        with self._lock:
            self.refuse_if_closed()
            if self._sync is None:
                self._sync = self._maker.client()
            return self._sync

    async def _loop_client(self) -> _LoopClient:
        self.refuse_if_closed()
        loop = asyncio.get_running_loop()
        entry = self._loops.get(loop)
        if entry is None:
            streams: weakref.WeakSet[AsyncWatchedStream] = weakref.WeakSet()
            entry = _LoopClient(self._maker.aclient(streams.add), streams)
            entry.life = self._lifetime(loop, entry)
            self._loops[loop] = entry
            await anext(entry.life)
        return entry

    async def _lifetime(
        self, loop: asyncio.AbstractEventLoop, entry: _LoopClient
    ) -> AsyncGenerator[None, None]:
        """Closes a loop's client when the loop ends: asyncio closes open generators before the loop."""
        try:
            yield
        finally:
            with self._lock:
                if self._loops.get(loop) is entry:
                    del self._loops[loop]
            for watch in entry.under_way.values():
                watch.stop()
            await entry.client.aclose()

    def _hang_up(self, entry: _LoopClient) -> None:
        for stream in list(entry.streams):
            with contextlib.suppress(OSError):
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        for _ in entry.under_way:
            self._dropped()


@dataclass(eq=False, slots=True)
class _LoopClient:
    """One event loop's client.

    Attributes:
        client: The client.
        streams: Its open connections.
        under_way: Requests that are not finished.
        life: A generator that ends with the loop and closes the client.
    """

    client: httpx.AsyncClient
    streams: weakref.WeakSet[AsyncWatchedStream]
    under_way: dict[asyncio.Task[Outcome], Watch] = field(default_factory=dict)
    life: AsyncGenerator[None, None] = field(init=False)
    closing: asyncio.Task[None] | None = None

    def close_soon(self) -> None:
        """Closes the client; for the loop itself to call."""
        self.closing = asyncio.ensure_future(self.life.aclose())


def _settle(task: asyncio.Task[Outcome], done: Callable[[], None]) -> None:
    if not task.cancelled():
        task.exception()  # looked at, so that nobody is told that it never was
    done()
