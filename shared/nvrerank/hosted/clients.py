"""Connections: one httpx client for all threads, one for each event loop, and how a request goes out.

The only module that imports httpx. Its types do not leave it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from nvrerank.errors import MissingExtraError

from .inflate import Body, GarbledError
from .key import ExtraHeaders, Key
from .messages import Failure, Outcome, Reply, Request
from .watch import AsyncWatchedBackend, AsyncWatchedStream, Watch, WatchedBackend, WatchedStream

_C = TypeVar("_C", httpx.Client, httpx.AsyncClient)

_KEPT = ("location", "nvcf-reqid", "retry-after", "retry-after-ms", "x-request-id")
_KEEP_ALIVE = 30.0  # seconds an idle connection is kept
_OK = 200
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": "nvrerank",
}
_TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_UNASKED = Failure("broken", "an answer that nobody asked for was on the connection")


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How clients are made.

    Attributes:
        key: Goes along with every request; None: no key does.
        headers: The caller's own.
        verify: True, False, a file or folder of certificates, or a context.
        transport: The caller's own httpx transport; None: the network.
        connections: How many idle ones are kept.
        tls: Whether it can be needed: what is trusted takes long to load.
    """

    key: Key | None
    headers: ExtraHeaders
    verify: bool | str | Path | ssl.SSLContext
    transport: object | None
    connections: int
    tls: bool


class Clients:
    """The clients of one process.

    Args:
        settings: How they are made.
        dropped: Called for each request that a dead event loop left under way.
    """

    def __init__(self, settings: ClientSettings, dropped: Callable[[], None]) -> None:
        self._settings = settings
        self._dropped = dropped
        self._lock = threading.RLock()
        self._sync: httpx.Client | None = None
        self._loops: dict[asyncio.AbstractEventLoop, _LoopClient] = {}
        self._context: ssl.SSLContext | None = None

    def send(self, request: Request, watch: Watch) -> Outcome:
        """Sends a request and reads its answer; an answer that is not to be had is an outcome, too."""
        client = self._client()
        limits = httpx.Timeout(max(watch.remaining(), 0.001))
        try:
            with (
                watch,
                client.stream(request.method, request.url, content=request.body, timeout=limits) as response,
            ):
                if _unasked(response):
                    response.extensions["network_stream"].close()
                    return _UNASKED
                body = _body_of(response)
                for chunk in _chunks(response):
                    if watch.remaining() <= 0:
                        return Failure("late", "")
                    if not body.add(chunk):
                        break
                watch.release()  # from here on the connection may be another request's
                return _reply(response, body)
        except GarbledError as error:
            return Failure("garbled", str(error))
        except httpx.TransportError as error:
            return Failure("late", "") if watch.remaining() <= 0 else _failure(error)

    async def asend(self, request: Request, watch: Watch, done: Callable[[], None]) -> Outcome:
        """As `send`, in a task of its own that a cancelled caller leaves to us to finish.

        Args:
            request: The request.
            watch: Its deadline.
            done: Called once nothing is under way any more.
        """
        try:
            entry = await self._loop_client()
            task = asyncio.create_task(_exchange(entry.client, request, watch))
        except BaseException:
            done()
            raise
        entry.under_way.add(task)
        task.add_done_callback(entry.under_way.discard)
        task.add_done_callback(lambda task: _settle(task, done))
        try:
            await asyncio.wait({task}, timeout=max(watch.remaining(), 0))
            return task.result() if task.done() else Failure("late", "")
        finally:
            if not task.done():
                watch.stop()
                if self._settings.transport is not None:  # it is not watched
                    task.cancel()

    def close(self) -> None:
        """Closes everything: at once what is ours, and soon what belongs to a running loop."""
        with self._lock:
            client, self._sync = self._sync, None
            loops, self._loops = self._loops, {}
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
            if self._sync is None:
                self._sync = self._made(httpx.Client)
                for pool in self._pools(self._sync):
                    pool._network_backend = WatchedBackend(pool._network_backend)  # noqa: SLF001 (the one way in)
            return self._sync

    async def _loop_client(self) -> _LoopClient:
        loop = asyncio.get_running_loop()
        entry = self._loops.get(loop)
        if entry is None:
            self._drop_dead_loops()
            entry = _LoopClient(self._made(httpx.AsyncClient))
            for pool in self._pools(entry.client):
                backend = pool._network_backend  # noqa: SLF001 (the one way in)
                pool._network_backend = AsyncWatchedBackend(backend, entry.streams.add)  # noqa: SLF001
            entry.life = self._lifetime(loop, entry)
            self._loops[loop] = entry
            await anext(entry.life)
        return entry

    def _made(self, kind: type[_C]) -> _C:
        try:
            return kind(**self._options())
        except ImportError as error:
            raise MissingExtraError("a SOCKS proxy needs socksio: pip install 'httpx[socks]'") from error

    def _options(self) -> dict[str, Any]:
        """Arguments of a client. Connections are bounded by the scorer's places, not by httpx's queue."""
        settings = self._settings
        own = settings.transport
        return {
            "auth": _Credentials(settings.key, settings.headers),
            "headers": _HEADERS,
            "verify": False if own else self._ssl_context(),
            "transport": own,
            "limits": httpx.Limits(
                max_connections=None,
                max_keepalive_connections=settings.connections,
                keepalive_expiry=_KEEP_ALIVE,
            ),
            "timeout": None,
            "follow_redirects": False,
        }

    def _pools(self, client: httpx.Client | httpx.AsyncClient) -> Iterator[Any]:
        """The connection pools behind a client, those to proxies too; none behind the caller's transport."""
        if self._settings.transport is None:
            for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 (no public name)
                if transport is not None:
                    yield transport._pool  # noqa: SLF001

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
            await entry.client.aclose()

    def _drop_dead_loops(self) -> None:
        """Lets go of loops that were closed without `shutdown_asyncgens`."""
        with self._lock:
            dead = [self._loops.pop(loop) for loop in list(self._loops) if loop.is_closed()]
        for entry in dead:
            self._hang_up(entry)

    def _hang_up(self, entry: _LoopClient) -> None:
        for stream in list(entry.streams):
            with contextlib.suppress(OSError):
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        for _ in entry.under_way:
            self._dropped()

    def _ssl_context(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = make_context(self._settings.verify) if self._settings.tls else _TRUSTS_NOBODY
            return self._context


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
    streams: weakref.WeakSet[AsyncWatchedStream] = field(default_factory=weakref.WeakSet)
    under_way: set[asyncio.Task[Outcome]] = field(default_factory=set)
    life: AsyncGenerator[None, None] = field(init=False)
    closing: asyncio.Task[None] | None = None

    def close_soon(self) -> None:
        """Closes the client; for the loop itself to call."""
        self.closing = asyncio.ensure_future(self.life.aclose())


class _Credentials(httpx.Auth):
    """Adds what may be secret as late as can be: no client or frame of ours holds it in plain."""

    def __init__(self, key: Key | None, headers: ExtraHeaders) -> None:
        self._key = key
        self._headers = headers

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers.update(self._headers.items())
        if self._key:
            request.headers["Authorization"] = self._key.bearer()
        yield request


async def _exchange(client: httpx.AsyncClient, request: Request, watch: Watch) -> Outcome:
    try:
        with watch:
            async with client.stream(request.method, request.url, content=request.body) as response:
                if _unasked(response):
                    await response.extensions["network_stream"].aclose()
                    return _UNASKED
                body = _body_of(response)
                async with contextlib.aclosing(_achunks(response)) as chunks:
                    async for chunk in chunks:
                        if not body.add(chunk):
                            break
                return _reply(response, body)
    except GarbledError as error:
        return Failure("garbled", str(error))
    except httpx.TransportError as error:
        return _failure(error)


def _chunks(response: httpx.Response) -> Iterator[bytes]:
    """The body as it comes off the wire, or whole from a transport that has read it already."""
    return iter([response.content]) if response.is_stream_consumed else response.iter_raw()


async def _achunks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """As `_chunks`."""
    if response.is_stream_consumed:
        yield response.content
        return
    async for chunk in response.aiter_raw():
        yield chunk


def _settle(task: asyncio.Task[Outcome], done: Callable[[], None]) -> None:
    if not task.cancelled():
        task.exception()  # looked at, so that nobody is told that it never was
    done()


def _unasked(response: httpx.Response) -> bool:
    """Whether the answer was there before the question, so belongs to another."""
    stream = response.extensions.get("network_stream")
    return isinstance(stream, WatchedStream | AsyncWatchedStream) and not stream.heard


def _body_of(response: httpx.Response) -> Body:
    encoding = "" if response.is_stream_consumed else response.headers.get("content-encoding", "")
    return Body(encoding, ok=response.status_code == _OK)


def _reply(response: httpx.Response, body: Body) -> Reply:
    headers = {name: response.headers[name] for name in _KEPT if name in response.headers}
    return Reply(response.status_code, headers, body.finish())


def _failure(error: httpx.TransportError) -> Failure:
    words = str(error) or type(error).__name__
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return Failure("invalid", words)
    if isinstance(error, httpx.ConnectError) and _is_distrust(error):
        return Failure("tls", words)
    return Failure("broken", words)


def _is_distrust(error: BaseException | None) -> bool:
    """Whether TLS itself failed, not the connection under it."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        error = error.__cause__ or error.__context__
    return False


def make_context(verify: bool | str | Path | ssl.SSLContext) -> ssl.SSLContext:  # noqa: FBT001 (httpx's word)
    """What is trusted. True: SSL_CERT_FILE, SSL_CERT_DIR or certifi; a file or folder; False: anybody."""
    if isinstance(verify, ssl.SSLContext):
        return verify
    if isinstance(verify, bool):
        return httpx.create_ssl_context(verify=verify)
    path = Path(verify)
    if path.is_dir():
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)
