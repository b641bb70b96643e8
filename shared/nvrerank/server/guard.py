"""What stands before every route: key, kind and size of the body, time; and behind it: one line in the log.

Neither the log nor an answer holds a text, a key, or what an exception of somebody else says.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import time
import traceback
import uuid
from collections.abc import Container, Mapping
from contextlib import suppress
from http import HTTPStatus
from itertools import islice

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import Refusal
from .service import Service
from .settings import MAX_PASSAGES

_log = logging.getLogger("nvrerank.server")
_LINGER = 2.0  # seconds for what a refused caller is still sending; cut off, it might not read the answer
_SMALL = 1 << 16  # bytes that any parser is done with at once
_MOST_PARTS = 16 * MAX_PASSAGES  # in {"text": "..."}, there are six
_PART = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},:]', re.DOTALL)
_OURS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """ASGI middleware around all routes.

    Args:
        app: What it guards.
        service: What the routes share.
        routes: Their paths; any other is counted as "other".
        unlocked: Those that need no key.
    """

    def __init__(
        self, app: ASGIApp, service: Service, routes: Container[str], unlocked: Container[str]
    ) -> None:
        self._app, self._service = app, service
        self._routes, self._unlocked = routes, unlocked
        key = service.settings.api_key
        self._digest = None if key is None else hashlib.sha256(key.encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        incoming, answer = _Incoming(receive), _Answer(send, self._service)
        self._service.requests += 1
        try:
            await self._run(scope, path, incoming, answer)
        finally:
            self._service.requests -= 1
            self._service.hold(-incoming.held)
            self._tell(path if path in self._routes else "other", answer)

    async def _run(self, scope: Scope, path: str, incoming: _Incoming, answer: _Answer) -> None:
        try:
            headers = dict(scope["headers"])
            self._check_key(path, headers)
            if scope["method"] == "POST":
                self._service.check_open()
                self._check_kind(headers)
                await self._read(headers, incoming)
                await _check_parts(incoming)
            await self._app(scope, incoming.receive, answer.send)
        except Refusal as refusal:
            if refusal.status == HTTPStatus.INTERNAL_SERVER_ERROR:
                _log.warning("%s %s", answer.request_id, _told(refusal.__cause__))
            self._service.metrics.refused(refusal.reason)
            await self._refuse(refusal, scope, incoming, answer)
        except Exception as error:  # noqa: BLE001  # the server would print what it says
            _log.error("%s %s", answer.request_id, _told(error))
            self._service.metrics.refused("failed")
            fault = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "failed", "a fault of the server: see its log")
            await self._refuse(fault, scope, incoming, answer)

    def _check_key(self, path: str, headers: Mapping[bytes, bytes]) -> None:
        if self._digest is None or path in self._unlocked:
            return
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        digest = hashlib.sha256(
            given.strip()
        ).digest()  # so that the time tells nothing of the key's length either
        if not (hmac.compare_digest(digest, self._digest) and scheme.lower() == b"bearer"):
            raise Refusal(
                HTTPStatus.UNAUTHORIZED, "unauthorized", "send the header Authorization: Bearer KEY"
            )

    def _check_kind(self, headers: Mapping[bytes, bytes]) -> None:
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        coding = headers.get(b"content-encoding", b"identity").strip().lower()
        if kind != b"application/json" or coding != b"identity":
            words = "send plain JSON with the header Content-Type: application/json"
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media_type", words)

    async def _read(self, headers: Mapping[bytes, bytes], incoming: _Incoming) -> None:
        settings, length = self._service.settings, headers.get(b"content-length", b"")
        too_large = Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too_large",
            f"a body may have {settings.max_body_bytes} bytes: send fewer passages at once",
        )
        if length.isdigit() and int(length) > settings.max_body_bytes:
            raise too_large
        try:
            async with asyncio.timeout(settings.body_seconds):
                while not incoming.ended:
                    self._service.hold(await incoming.read())
                    if incoming.held > settings.max_body_bytes:
                        raise too_large
        except TimeoutError:
            words = f"the body did not arrive within {settings.body_seconds:g} s"
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "slow", words) from None

    async def _refuse(self, refusal: Refusal, scope: Scope, incoming: _Incoming, answer: _Answer) -> None:
        if answer.status is not None:  # half of one is out: nothing else may follow it
            return
        if scope["method"] == "POST" and not incoming.ended:
            if refusal.status != HTTPStatus.REQUEST_TIMEOUT:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LINGER):
                        await incoming.discard()
            # a busy server is asked again: not by a new connection each time
            answer.closes = not incoming.ended or refusal.status != HTTPStatus.SERVICE_UNAVAILABLE
        await JSONResponse(refusal.body, refusal.status, refusal.headers)(
            scope, incoming.receive, answer.send
        )

    def _tell(self, route: str, answer: _Answer) -> None:
        status, seconds = answer.status or 0, time.perf_counter() - answer.began
        self._service.metrics.answered(route, status, seconds)
        _log.info("%s %s %d %.1f ms", answer.request_id, route, status, 1000 * seconds)


async def _check_parts(incoming: _Incoming) -> None:
    """Refuses JSON of far more parts than a request has: the parser would hold the event loop for seconds."""
    if incoming.held > _SMALL and await asyncio.to_thread(incoming.parts_exceed, _MOST_PARTS):
        words = f"a request has at most {MAX_PASSAGES} passages and nothing else in numbers"
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", words)


class _Incoming:
    """A request's body, read once and then handed on."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._body = bytearray()
        self._handed_on = False
        self.ended = False

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return len(self._body)

    async def read(self) -> int:
        """Reads some; returns how many bytes."""
        message = await self._receive()
        if message["type"] != "http.request":
            raise Refusal(HTTPStatus.BAD_REQUEST, "left", "the body broke off")
        chunk: bytes = message.get("body", b"")
        self._body += chunk
        self.ended = not message.get("more_body", False)
        return len(chunk)

    def parts_exceed(self, most: int) -> bool:
        """Whether strings, commas, colons and brackets of the body as JSON are more than so many."""
        return next(islice(_PART.finditer(self._body), most, None), None) is not None

    async def discard(self) -> None:
        """Reads the rest and keeps none of it."""
        while not self.ended:
            message = await self._receive()
            self.ended = message["type"] != "http.request" or not message.get("more_body", False)

    async def receive(self) -> Message:
        """As a route asks: the whole body, then whatever comes."""
        if self._handed_on or not self.ended:
            return await self._receive()
        self._handed_on = True
        return {"type": "http.request", "body": bytes(self._body), "more_body": False}


class _Answer:
    """A response on its way, with the headers that all have."""

    def __init__(self, send: Send, service: Service) -> None:
        self._send, self._service = send, service
        self.began = time.perf_counter()
        self.request_id = uuid.uuid4().hex
        self.status: int | None = None
        self.closes = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            more = [(b"x-request-id", self.request_id.encode()), *_OURS]
            if self.closes or self._service.draining:
                more.append((b"connection", b"close"))
            message = {**message, "headers": [*message["headers"], *more]}
        await self._send(message)


def _told(error: BaseException | None) -> str:
    """Kinds and places of an exception and its causes; not what they say, which may quote a text."""
    links = []
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        places = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))
        links.append(f"{type(error).__name__} at {places}")
        error = error.__cause__
    return ", caused by ".join(links)
