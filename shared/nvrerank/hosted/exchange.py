"""One request over a client: what comes of it is an outcome, whatever happens."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncGenerator, Iterator

import httpx

from .deadline import AsyncWatchedStream, Watch, WatchedStream
from .inflate import Body, GarbledError
from .messages import Failure, Outcome, Reply, Request

LATE = Failure("late", "")

_KEPT = ("nvcf-reqid", "retry-after", "retry-after-ms", "x-request-id")
_LOCATION = "nvrerank.location"
_UNSENDABLE = (httpx.InvalidURL, UnicodeError)  # the name of a host or proxy is none
_OK = 200
_UNASKED = Failure("broken", "an answer that nobody asked for was on the connection")


def exchange(client: httpx.Client, request: Request, watch: Watch) -> Outcome:
    """Sends a request in this thread and reads its answer."""
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
                    return LATE
                if not body.add(chunk):
                    break
            watch.release()  # from here on the connection may be another request's
            return _reply(response, body)
    except Exception as error:  # noqa: BLE001 (whatever a server or a transport does is an outcome)
        return LATE if _is_broken(error) and watch.remaining() <= 0 else _failure(error)


async def aexchange(client: httpx.AsyncClient, request: Request, watch: Watch) -> Outcome:
    """As `exchange`, in a task that nobody but `watch` stops."""
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
    except Exception as error:  # noqa: BLE001 (as in `exchange`)
        return _failure(error)


def set_location_aside(response: httpx.Response) -> None:
    """Keeps a redirect's target from httpx, which parses it, and may fail, also where it is not followed."""
    response.extensions[_LOCATION] = response.headers.pop("location", None)


async def aset_location_aside(response: httpx.Response) -> None:
    """As `set_location_aside`."""
    set_location_aside(response)


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


def _unasked(response: httpx.Response) -> bool:
    """Whether the answer was there before the question, so belongs to another."""
    stream = response.extensions.get("network_stream")
    return isinstance(stream, WatchedStream | AsyncWatchedStream) and not stream.heard


def _body_of(response: httpx.Response) -> Body:
    encoding = "" if response.is_stream_consumed else response.headers.get("content-encoding", "")
    return Body(encoding, ok=response.status_code == _OK)


def _reply(response: httpx.Response, body: Body) -> Reply:
    headers = {name: response.headers[name] for name in _KEPT if name in response.headers}
    if location := response.extensions[_LOCATION]:
        headers["location"] = location
    return Reply(response.status_code, headers, body.finish())


def _is_broken(error: Exception) -> bool:
    return isinstance(error, httpx.TransportError | OSError)


def _failure(error: Exception) -> Failure:
    words = str(error) or type(error).__name__
    if isinstance(error, GarbledError):
        return Failure("garbled", words)
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return Failure("invalid", words)
    if isinstance(error, httpx.ConnectError) and _is_distrust(error):
        return Failure("tls", words)
    if _is_broken(error):
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
