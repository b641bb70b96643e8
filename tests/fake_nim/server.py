"""The server: raw HTTP/1.1 on asyncio streams in a thread of its own: every byte is ours to spoil."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from .steps import Step


_TLS_HELLO = b"\x16"


def truth(query: str, passage: str) -> float:
    """The logit of a pair: any number will do that nothing but this pair has."""
    return zlib.crc32(f"{query}\n{passage}".encode()) / 2**32 * 20 - 10


class Seen:
    """A request as it arrived."""

    def __init__(self, head: bytes, body: bytes = b"") -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = first.split(" ")
        self.headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def pair(self) -> tuple[str, list[str]]:
        """Query and passages, in whatever protocol; an image is its data URL, after the text."""
        body = self.json
        if "passages" in body:
            return body["query"]["text"], [
                one.get("text", "") + one.get("image", "") for one in body["passages"]
            ]
        return body["query"], [_content(one) for one in body.get("documents") or body["texts"]]


def _content(document: Any) -> str:
    """A document of Cohere's protocol: a text, or vLLM's list of contents."""
    if isinstance(document, str):
        return document
    parts = {part["type"]: part for part in document["content"]}
    return parts.get("text", {}).get("text", "") + parts["image_url"]["image_url"]["url"]


class Wire:
    """One connection, as a step may use it."""

    def __init__(self, server: FakeNIM, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.open = True

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, status: int, body: bytes | object, **headers: str) -> None:
        """A whole reply; header names with _ for -."""
        await self.send(response(status, body, **headers))

    def close(self) -> None:
        self.open = False
        self.writer.close()

    def reset(self) -> None:
        """Closes with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.open = False
        self.writer.transport.abort()


def response(status: int, body: bytes | object, **headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"content-type": "application/json", "content-length": str(len(data))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + data


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


class FakeNIM:
    """Answers requests step by step; after the last step, with the truth.

    Args:
        steps: What happens to the first, second, ... ranking request.
        default: What happens to the rest.
        models: What `GET /v1/models` lists.
        ready: Status of the health route.
        tls: For https.
        remembers: Whether requests are kept; a benchmark's are too many.
    """

    def __init__(
        self,
        steps: Iterable[Step] = (),
        *,
        default: Step | None = None,
        models: Iterable[object] = ({"id": "fake/reranker"},),
        ready: int = 200,
        tls: ssl.SSLContext | None = None,
        remembers: bool = True,
    ) -> None:
        from .steps import rank

        self._steps = iter(steps)
        self._default = default or rank()
        self._tls = tls
        self.remembers = remembers
        self.models = list(models)
        self.ready = ready
        self.seen: list[Seen] = []
        self.asked: list[str] = []
        self.times: list[float] = []
        self.in_flight = self.most_in_flight = 0
        self.connections = self.accepted = self.requests = 0
        self.address = ("127.0.0.1", 0)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-nim", daemon=True)

    @property
    def host(self) -> str:
        return f"{self.address[0]}:{self.address[1]}"

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://{self.host}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def idle(self, within: float = 2.0) -> bool:
        """Whether all connections are gone, now or soon."""
        ends = time.monotonic() + within
        while self.connections and time.monotonic() < ends:
            time.sleep(0.005)
        return not self.connections

    async def _start(self) -> None:
        self._server = await asyncio.start_server(
            self._accept, *self.address, ssl=self._tls, limit=2**24, backlog=1024
        )
        self.address = self._server.sockets[0].getsockname()

    async def _stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.accepted += 1
        self.connections += 1
        try:
            await self._converse(Wire(self, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            self._tasks.discard(task)
            self.connections -= 1
            writer.transport.abort()

    async def _converse(self, wire: Wire) -> None:
        while wire.open:
            first = await wire.reader.readexactly(1)
            if first == _TLS_HELLO:
                await wire.reply(400, b"The plain HTTP request was expected")
                return
            seen = Seen((first + await wire.reader.readuntil(b"\r\n\r\n"))[:-4])
            self.requests += 1
            if seen.method == "CONNECT":
                await self._tunnel(wire, seen)
            elif seen.method == "GET":
                await self._look_up(wire, seen)
            else:
                await self._rank(wire, seen)

    async def _tunnel(self, wire: Wire, seen: Seen) -> None:
        """Is a proxy: passes bytes on, wherever they were to go, to the port that was asked for."""
        self.asked.append(seen.path)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(seen.path.rpartition(":")[2]))
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
        back = asyncio.create_task(_pump(reader, wire.writer))
        try:
            await _pump(wire.reader, writer)
        finally:
            back.cancel()
            writer.close()
            wire.close()

    async def _look_up(self, wire: Wire, seen: Seen) -> None:
        self.asked.append(seen.path)
        if seen.path.endswith("/models"):
            await wire.reply(200, {"object": "list", "data": self.models})
        elif seen.path.endswith("/info"):
            await wire.reply(200, {"model_id": "fake/tei"})
        else:
            await wire.reply(self.ready, {"object": "health.response"})

    async def _rank(self, wire: Wire, seen: Seen) -> None:
        step = next(self._steps, self._default)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if not getattr(step, "early", False):
                seen.body = await wire.reader.readexactly(int(seen.headers["content-length"]))
            if self.remembers:
                self.seen.append(seen)
                self.times.append(time.monotonic())
            await step(wire, seen)
        finally:
            self.in_flight -= 1
