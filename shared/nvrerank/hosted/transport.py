"""One HTTP exchange over an httpx transport, and transports of our own, over httpcore's connection pools.

A transport is asked without an httpx client: there are no cookies to keep, no redirects to follow, and what
is secret is added last. What comes of an exchange is an outcome, whatever happens.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from importlib.util import find_spec
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from nvrerank.errors import MissingExtraError, NVRerankError, ServiceUnavailableError

from .credentials import Credentials
from .deadline import (
    AsyncDeadlineBackend,
    AsyncDeadlineStream,
    Deadline,
    DeadlineBackend,
    DeadlineStream,
    current,
)
from .retry import Attempt, Failure, Outcome, Reply

MOST = 8 * 1024 * 1024
"""Bytes of a reply, decoded."""

LATE = Failure("late")

_KEEP_ALIVE = 30.0  # seconds an idle connection is kept
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Connection": "keep-alive",
    "Content-Type": "application/json",
    "User-Agent": "nvrerank",
}
_KEPT = ("location", "nvcf-reqid", "retry-after", "retry-after-ms", "x-request-id")
_ERROR = 64 * 1024  # of a reply that is not 200: enough for its reason
_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_OK = 200
_UNSENDABLE = (httpx.InvalidURL, UnicodeError)  # the name of a host or proxy is none
_INVALID = (
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpcore.UnsupportedProtocol,
    httpcore.LocalProtocolError,
)
_BROKEN = (
    httpx.TransportError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    OSError,
)


def exchange(
    transport: httpx.BaseTransport, attempt: Attempt, credentials: Credentials, deadline: Deadline
) -> Outcome:
    """Sends a request in this thread and reads its answer."""
    token = current.set(deadline)
    try:
        limit = max(deadline.remaining(), 0.001)
        response = transport.handle_request(_request(attempt, credentials, limit))
        try:
            reader = ReplyReader(response)
            for chunk in [response.content] if response.is_stream_consumed else response.stream:  # type: ignore[union-attr]
                if deadline.remaining() <= 0:
                    return LATE
                if not reader.add(chunk):
                    break
            return reader.reply()
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
            reader = ReplyReader(response)
            async with contextlib.aclosing(_chunks(response)) as chunks:
                async for chunk in chunks:
                    if not reader.add(chunk):
                        break
            return reader.reply()
        finally:
            await response.aclose()
    except NVRerankError:
        raise
    except Exception as error:  # noqa: BLE001 (as in `exchange`)
        return _failure(error)


async def _chunks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The body as it comes off the wire, or whole from a transport that has read it already."""
    if response.is_stream_consumed:
        yield response.content
        return
    async for chunk in response.stream:  # type: ignore[union-attr]
        yield chunk


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


class _UnaskedError(Exception):
    """The answer was there before the question, so belongs to another."""

    def __str__(self) -> str:
        return "an answer that nobody asked for was on the connection"


class ReplyReader:
    """Puts a reply together, decoding gzip and deflate without ever holding more than the limit.

    Of a reply whose status is not 200 only the body's beginning is kept.

    Args:
        response: The response; its body is not read here.

    Raises:
        _UnaskedError: It is another request's.
        _GarbledError: Its encoding is none of ours.
    """

    def __init__(self, response: httpx.Response) -> None:
        stream = response.extensions.get("network_stream")
        if isinstance(stream, DeadlineStream | AsyncDeadlineStream) and not stream.heard:
            raise _UnaskedError
        headers = response.headers
        name = "" if response.is_stream_consumed else headers.get("content-encoding", "").strip().lower()
        known = name in ("", "identity", *_WINDOW)
        self._status = response.status_code
        self._headers = {name: headers[name] for name in _KEPT if name in headers}
        self._ok = self._status == _OK
        if self._ok and not known:
            raise _GarbledError("is in a Content-Encoding that was not asked for")
        self._decoder = zlib.decompressobj(_WINDOW[name]) if name in _WINDOW else None
        self._left = MOST if self._ok else _ERROR * known
        self._parts: list[bytes] = []

    def add(self, chunk: bytes) -> bool:
        """Takes the next chunk off the wire.

        Returns:
            Whether more is wanted.

        Raises:
            _GarbledError: The body is too long or not what it says.
        """
        try:
            part = self._decoder.decompress(chunk, self._left + 1) if self._decoder else chunk
        except zlib.error:
            if self._ok:
                raise _GarbledError("is not compressed as it says") from None
            part = b""
        if len(part) > self._left and self._ok:
            raise _GarbledError(f"is longer than {MOST} bytes")
        self._parts.append(part[: self._left])
        self._left -= len(self._parts[-1])
        return self._ok or self._left > 0

    def reply(self) -> Reply:
        """The whole reply.

        Raises:
            _GarbledError: The compressed data stop half way.
        """
        if self._ok and self._decoder and self._parts and not self._decoder.eof:
            raise _GarbledError("is compressed and stops half way")
        return Reply(self._status, self._headers, b"".join(self._parts))


def _failure(error: Exception) -> Failure:
    words = str(error) or type(error).__name__
    if isinstance(error, _GarbledError):
        return Failure("garbled", words)
    if isinstance(error, _INVALID):
        return Failure("invalid", words)
    if isinstance(error, httpx.ConnectError | httpcore.ConnectError) and _is_distrust(error):
        return Failure("tls", words)
    if isinstance(error, (*_BROKEN, _UnaskedError)):
        return Failure("broken", words)
    if isinstance(error, _UNSENDABLE) and not isinstance(error, UnicodeDecodeError):
        return Failure("invalid", words, _bare(error))
    return Failure("garbled", f"can't be read: {type(error).__name__}: {words}", _bare(error))


def _bare(error: Exception) -> Exception:
    """An exception without the request and the frames it refers to, which hold the key."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        vars(link).pop("_request", None)
        link = link.__cause__ or link.__context__
    return error


def _is_distrust(error: BaseException | None) -> bool:
    """Whether TLS itself failed, not the connection under it."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        error = error.__cause__ or error.__context__
    return False


class PoolOptions:
    """How connection pools are made: what they trust, which proxy they go through, how many they keep.

    Args:
        verify: True: SSL_CERT_FILE, SSL_CERT_DIR or certifi; a context; False: trust anybody.
        connections: How many idle ones are kept. What is open is bounded by the scorer's own limiter.
    """

    def __init__(self, verify: bool | ssl.SSLContext, connections: int) -> None:  # noqa: FBT001
        self._verify = verify
        self._connections = connections
        self._lock = threading.Lock()

    def __call__(self, url: httpx.URL) -> dict[str, Any]:
        """Arguments of httpcore's pools for a URL.

        Raises:
            MissingExtraError: Its proxy needs another package.
            ServiceUnavailableError: The environment names a proxy or certificates that are none.
        """
        return {
            "ssl_context": self._trusted() if url.scheme == "https" else None,
            "proxy": _proxy(url),
            "max_connections": None,
            "max_keepalive_connections": self._connections,
            "keepalive_expiry": _KEEP_ALIVE,
        }

    def _trusted(self) -> ssl.SSLContext:
        """What is trusted, loaded once: that takes long."""
        with self._lock:
            if not isinstance(self._verify, ssl.SSLContext):
                try:
                    self._verify = httpx.create_ssl_context(verify=self._verify)
                except OSError as error:
                    raise ServiceUnavailableError(
                        f"SSL_CERT_FILE or SSL_CERT_DIR names no certificates ({error}): mend it, or pass "
                        "verify=PATH"
                    ) from error
            return self._verify


def _proxy(url: httpx.URL) -> httpcore.Proxy | None:
    """The proxy for a URL, from the environment as `urllib` reads it."""
    proxies, netloc = getproxies(), url.netloc.decode()
    named = proxies.get(url.scheme) or proxies.get("all")
    if not named or proxy_bypass(url.host) or proxy_bypass(netloc):
        return None
    try:
        proxy = httpx.Proxy(named if "://" in named else f"http://{named}")
    except (ValueError, httpx.InvalidURL):
        proxy = None  # no message repeats it: it may hold a password
    if proxy is None:
        names = "HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"
        raise ServiceUnavailableError(f"one of {names} is no URL that can be used: mend or unset it")
    if proxy.url.scheme.startswith("socks") and not find_spec("socksio"):
        raise MissingExtraError("a SOCKS proxy needs socksio: pip install 'httpx[socks]'")
    return httpcore.Proxy(_core_url(proxy.url), proxy.raw_auth)


def _core_url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _core_request(request: httpx.Request) -> httpcore.Request:
    return httpcore.Request(
        request.method,
        _core_url(request.url),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


def _response(got: httpcore.Response) -> httpx.Response:
    body = _Body(got.stream)
    return httpx.Response(got.status, headers=got.headers, stream=body, extensions=got.extensions)


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A response's body, as httpcore has it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()


class PoolTransport(httpx.BaseTransport):
    """Connections for threads, limited by the current deadline: a pool a server, opened at its first use.

    Args:
        options: How pools are made.
    """

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
    """As `PoolTransport`, for the tasks of one event loop.

    Args:
        options: How pools are made.
        opened: Called with each new connection.
    """

    def __init__(self, options: PoolOptions, opened: Callable[[AsyncDeadlineStream], object]) -> None:
        self._options = options
        self._opened = opened
        self._pools: dict[bytes, httpcore.AsyncConnectionPool] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request; raises httpcore's exceptions."""
        pool = self._pools.get(request.url.netloc) or self._open(request.url)
        return _response(await pool.handle_async_request(_core_request(request)))

    def _open(self, url: httpx.URL) -> httpcore.AsyncConnectionPool:
        backend = AsyncDeadlineBackend(self._opened)
        pool = httpcore.AsyncConnectionPool(**self._options(url), network_backend=backend)
        return self._pools.setdefault(url.netloc, pool)

    async def aclose(self) -> None:
        """Closes all connections."""
        for pool in tuple(self._pools.values()):
            await pool.aclose()
