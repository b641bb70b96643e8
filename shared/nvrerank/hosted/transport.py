"""One HTTP exchange over an httpx transport, and transports of our own, over httpcore's connection pools.

A transport is asked without an httpx client: there are no cookies to keep, no redirects to follow, and what
is secret is added last. What comes of an exchange is an outcome, whatever happens.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import weakref
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx
from httpcore import (
    LocalProtocolError,
    NetworkError,
    ProtocolError,
    ProxyError,
    TimeoutException,
    UnsupportedProtocol,
)

from nvrerank.errors import MissingExtraError, NVRerankError, ServiceUnavailableError

from .credentials import Credentials
from .deadline import AsyncDeadlineBackend, AsyncDeadlineStream, Deadline, DeadlineBackend, current
from .retry import Attempt, Failure, Outcome, Reply

MOST = 8 * 1024 * 1024
"""Bytes of a reply, decoded."""

LATE = Failure("late")
_UNASKED = Failure("broken", "an answer that nobody asked for was on the connection")

_KEEP_ALIVE = 30.0  # seconds an idle connection is kept
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Connection": "keep-alive",
    "Content-Type": "application/json",
    "User-Agent": "nvrerank",
}
_KEPT = ("location", "nvcf-reqid", "retry-after", "retry-after-ms", "x-request-id")
_MOST_OF_ERROR = 64 * 1024  # enough for a reason
_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_OK = 200
_UNSENDABLE = (httpx.InvalidURL, UnicodeError)  # the name of a host or proxy is none
_INVALID = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnsupportedProtocol, LocalProtocolError)
_BROKEN = (httpx.TransportError, NetworkError, ProtocolError, ProxyError, TimeoutException, OSError)


def exchange(
    transport: httpx.BaseTransport, attempt: Attempt, credentials: Credentials, deadline: Deadline
) -> Outcome:
    """Sends a request in this thread and reads its answer."""
    token = current.set(deadline)
    try:
        limit = max(deadline.remaining(), 0.001)
        response = transport.handle_request(_request(attempt, credentials, limit))
        try:
            if not getattr(response.extensions.get("network_stream"), "heard", True):
                return _UNASKED  # it was there before the question, so belongs to another
            body, most = bytearray(), MOST if response.status_code == _OK else _MOST_OF_ERROR
            for chunk in [response.content] if response.is_stream_consumed else response.stream:  # type: ignore[union-attr]
                if deadline.remaining() <= 0:
                    return LATE
                body += chunk
                if len(body) > most:
                    break
            return _reply(response, body, most)
        finally:
            deadline.release(threading.get_ident())  # from here on the connection may be another request's
            response.close()
    except NVRerankError:
        raise
    except Exception as error:  # noqa: BLE001 (whatever a server or a transport does is an outcome)
        return LATE if isinstance(error, _BROKEN) and deadline.remaining() <= 0 else _failure(error)
    finally:
        current.reset(token)


async def aexchange(
    transport: httpx.AsyncBaseTransport, attempt: Attempt, credentials: Credentials, deadline: Deadline
) -> Outcome:
    """As `exchange`, in a task that nobody but the deadline stops."""
    current.set(deadline)  # the task has a context of its own
    try:
        response = await transport.handle_async_request(_request(attempt, credentials, None))
        try:
            if not getattr(response.extensions.get("network_stream"), "heard", True):
                return _UNASKED
            body, most = bytearray(), MOST if response.status_code == _OK else _MOST_OF_ERROR
            if response.is_stream_consumed:
                body += response.content
            else:
                async for chunk in response.stream:  # type: ignore[union-attr]
                    body += chunk
                    if len(body) > most:
                        break
            return _reply(response, body, most)
        finally:
            await response.aclose()
    except NVRerankError:
        raise
    except Exception as error:  # noqa: BLE001 (as in `exchange`)
        return _failure(error)


def _request(attempt: Attempt, credentials: Credentials, limit: float | None) -> httpx.Request:
    """The request; no frame holds what is secret in it under a name of its own."""
    request = httpx.Request(
        "GET" if attempt.body is None else "POST",
        attempt.url,
        headers=_HEADERS,
        content=attempt.body,
        extensions={"timeout": httpx.Timeout(limit).as_dict()},
    )
    request.headers.update(credentials.request_headers())
    return request


class _GarbledError(Exception):
    """The body is too long or can't be decoded."""


def _reply(response: httpx.Response, body: bytes | bytearray, most: int) -> Reply:
    """The reply, decoded; of one whose status is not 200 the beginning, as far as it can be read.

    Args:
        response: Its status and headers.
        body: As it came off the wire, or as a transport that has read it already decoded it.
        most: Bytes that are read of it, and that it may decode to.

    Raises:
        _GarbledError: The body of a 200 is too long, or not encoded as it says.
    """
    headers, problem = response.headers, None
    encoding = "" if response.is_stream_consumed else headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        body, problem = _decoded(body, encoding, most)
    if len(body) > most:
        problem = f"is longer than {most} bytes"
    if problem and response.status_code == _OK:
        raise _GarbledError(problem)
    kept = {name: headers[name] for name in _KEPT if name in headers}
    return Reply(response.status_code, kept, bytes(body[:most]))


def _decoded(body: bytes | bytearray, encoding: str, most: int) -> tuple[bytes, str | None]:
    """What a body decodes to, never much more than is wanted, and what is wrong with it."""
    if encoding not in _WINDOW:
        return b"", "is in a Content-Encoding that was not asked for"
    decoder = zlib.decompressobj(_WINDOW[encoding])
    try:
        decoded = decoder.decompress(body, most + 1)
    except zlib.error:
        return b"", "is not compressed as it says"
    return decoded, "is compressed and stops half way" if body and not decoder.eof else None


def _failure(error: Exception) -> Failure:
    words = str(error) or type(error).__name__
    if isinstance(error, _GarbledError):
        return Failure("garbled", words)
    if isinstance(error, _INVALID):
        return Failure("invalid", words)
    if isinstance(error, httpx.ConnectError | httpcore.ConnectError) and _is_distrust(error):
        return Failure("tls", words)
    if isinstance(error, _BROKEN):
        return Failure("broken", words)
    if isinstance(error, _UNSENDABLE) and not isinstance(error, UnicodeDecodeError):
        return Failure("invalid", words, _bare(error))
    return Failure("garbled", f"can't be read: {type(error).__name__}: {words}", _bare(error))


def _bare(error: Exception) -> Exception:
    """An exception without the request and the frames it refers to, which hold the key."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        if isinstance(link, httpx.RequestError):
            link.request = httpx.Request("GET", "")
        link = link.__cause__ or link.__context__
    return error


def _is_distrust(error: BaseException | None) -> bool:
    """Whether TLS itself failed, not the connection under it."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        error = error.__cause__ or error.__context__
    return False


@dataclass
class PoolOptions:
    """How connection pools are made.

    Attributes:
        verify: True: SSL_CERT_FILE, SSL_CERT_DIR or certifi; a context; False: trust anybody.
        connections: How many idle ones are kept. What is open is bounded by the scorer's own limiter.
    """

    verify: bool | ssl.SSLContext
    connections: int

    def __call__(self, url: httpx.URL) -> dict[str, Any]:
        """Arguments of httpcore's pools for a URL.

        Raises:
            MissingExtraError: Its proxy needs another package.
            ServiceUnavailableError: The environment names a proxy or certificates that are none.
        """
        return {
            "ssl_context": self._trusted if url.scheme == "https" else None,
            "proxy": _proxy(url),
            "max_connections": None,
            "max_keepalive_connections": self.connections,
            "keepalive_expiry": _KEEP_ALIVE,
        }

    @cached_property
    def _trusted(self) -> ssl.SSLContext:
        """What is trusted, loaded once: that takes long."""
        if isinstance(self.verify, ssl.SSLContext):
            return self.verify
        try:
            return httpx.create_ssl_context(verify=self.verify)
        except OSError as error:
            raise ServiceUnavailableError(
                f"SSL_CERT_FILE or SSL_CERT_DIR names no certificates ({error}): mend it, or pass verify=PATH"
            ) from error


def _proxy(url: httpx.URL) -> httpcore.Proxy | None:
    """The proxy for a URL, from the environment as `urllib` reads it."""
    proxies = getproxies()
    named = proxies.get(url.scheme) or proxies.get("all")
    if not named or proxy_bypass(url.host) or proxy_bypass(url.netloc.decode()):
        return None
    try:
        proxy = httpx.Proxy(named if "://" in named else f"http://{named}")
    except (ValueError, httpx.InvalidURL):
        proxy = None
    del proxies, named  # they may hold a password
    if proxy is None:
        names = "HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"
        raise ServiceUnavailableError(f"one of {names} is no URL that can be used: mend or unset it")
    if proxy.url.scheme.startswith("socks") and not find_spec("socksio"):
        raise MissingExtraError("a SOCKS proxy needs socksio: pip install 'httpx[socks]'")
    return httpcore.Proxy(str(proxy.url), proxy.raw_auth)


def _core_request(request: httpx.Request) -> httpcore.Request:
    """The same for httpcore; no frame holds the headers under a name of their own."""
    return httpcore.Request(
        request.method,
        str(request.url),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


def _response(got: httpcore.Response) -> httpx.Response:
    body = _ReplyBody(got.stream)
    return httpx.Response(got.status, headers=got.headers, stream=body, extensions=got.extensions)


@dataclass(frozen=True, slots=True)
class _ReplyBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A response's body, as httpcore has it."""

    stream: Any

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.stream)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self.stream)

    def close(self) -> None:
        self.stream.close()

    async def aclose(self) -> None:
        await self.stream.aclose()


class PoolTransport(httpx.BaseTransport):
    """Connections for threads, limited by the current deadline: a pool a server, opened at its first use."""

    def __init__(self, options: PoolOptions) -> None:
        self._options = options
        self._pools: dict[bytes, httpcore.ConnectionPool] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request; raises httpcore's exceptions."""
        pool = self._pools.get(request.url.netloc) or self._open(request.url)
        return _response(pool.handle_request(_core_request(request)))

    def _open(self, url: httpx.URL) -> httpcore.ConnectionPool:
        pool = httpcore.ConnectionPool(**self._options(url), network_backend=DeadlineBackend())
        return self._pools.setdefault(url.netloc, pool)

    def close(self) -> None:
        """Closes all connections."""
        for pool in tuple(self._pools.values()):
            pool.close()


class AsyncPoolTransport(httpx.AsyncBaseTransport):
    """As `PoolTransport`, for the tasks of one event loop."""

    def __init__(self, options: PoolOptions) -> None:
        self._options = options
        self._streams: weakref.WeakSet[AsyncDeadlineStream] = weakref.WeakSet()
        self._pools: dict[bytes, httpcore.AsyncConnectionPool] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request; raises httpcore's exceptions."""
        pool = self._pools.get(request.url.netloc) or self._open(request.url)
        return _response(await pool.handle_async_request(_core_request(request)))

    def _open(self, url: httpx.URL) -> httpcore.AsyncConnectionPool:
        backend = AsyncDeadlineBackend(self._streams.add)
        pool = httpcore.AsyncConnectionPool(**self._options(url), network_backend=backend)
        return self._pools.setdefault(url.netloc, pool)

    async def aclose(self) -> None:
        """Closes all connections."""
        for pool in tuple(self._pools.values()):
            await pool.aclose()

    def hang_up(self) -> None:
        """Shuts all connections down, once their event loop is dead."""
        for stream in list(self._streams):
            with contextlib.suppress(OSError):
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
