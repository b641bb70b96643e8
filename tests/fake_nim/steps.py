"""What may happen to a request. Each is a coroutine over the wire and the request seen."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import Awaitable, Callable

from .server import Seen, Wire, response, truth

Step = Callable[[Wire, Seen], Awaitable[None]]


def ranking(seen: Seen) -> object:
    """The right answer, best first, in the protocol of the request."""
    query, passages = seen.pair
    scores = sorted(((truth(query, text), index) for index, text in enumerate(passages)), reverse=True)
    if "passages" in seen.json:
        tokens = sum(len(text.split()) for text in passages)
        rankings = [{"index": index, "logit": score} for score, index in scores]
        return {"rankings": rankings, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    if "documents" in seen.json:
        return {"results": [{"index": index, "relevance_score": score} for score, index in scores]}
    return [{"index": index, "score": score} for score, index in scores]


def rank(delay: float = 0.0) -> Step:
    """The right answer, after a while."""

    async def step(wire: Wire, seen: Seen) -> None:
        if delay:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await wire.reader.read(1)
                    wire.close()  # nobody waits any more
                    return
        await wire.reply(200, ranking(seen))

    return step


def answer(status: int, body: bytes | object = b"", **headers: str) -> Step:
    """This reply."""

    async def step(wire: Wire, seen: Seen) -> None:
        await wire.reply(status, body, **headers)

    return step


def raw(data: bytes, *, reset: bool = False) -> Step:
    """These bytes, then the end of the connection."""

    async def step(wire: Wire, seen: Seen) -> None:
        await wire.send(data)
        if reset:
            await asyncio.sleep(0.01)
            wire.reset()
        else:
            wire.close()

    return step


async def reset_at_once(wire: Wire, seen: Seen) -> None:
    """RST in place of an answer."""
    wire.reset()


async def close_at_once(wire: Wire, seen: Seen) -> None:
    """FIN in place of an answer."""
    wire.close()


async def hang(wire: Wire, seen: Seen) -> None:
    """Silence."""
    await wire.reader.read()
    wire.close()


def cut_short(share: float, *, reset: bool = False) -> Step:
    """The right answer, of which only a share arrives."""

    async def step(wire: Wire, seen: Seen) -> None:
        whole = response(200, ranking(seen))
        await raw(whole[: int(len(whole) * share)], reset=reset)(wire, seen)

    return step


def half_json(share: float = 0.5) -> Step:
    """A whole reply by its framing, whose JSON stops half way."""

    async def step(wire: Wire, seen: Seen) -> None:
        body = json.dumps(ranking(seen)).encode()
        await wire.reply(200, body[: int(len(body) * share)])

    return step


async def cut_chunk(wire: Wire, seen: Seen) -> None:
    """A chunked answer that stops in its second chunk."""
    body = json.dumps(ranking(seen)).encode()
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    half = len(body) // 2
    first = b"%x\r\n%s\r\n" % (half, body[:half])
    await raw(head + first + b"%x\r\n%s" % (len(body) - half, body[half:-3]))(wire, seen)


def chunked(size: int) -> Step:
    """The right answer in chunks."""

    async def step(wire: Wire, seen: Seen) -> None:
        body = json.dumps(ranking(seen)).encode()
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for start in range(0, len(body), size):
            part = body[start : start + size]
            await wire.send(b"%x\r\n%s\r\n" % (len(part), part))
        await wire.send(b"0\r\n\r\n")

    return step


def drip(seconds: float, *, after: bytes = b"") -> Step:
    """The right answer, a byte at a time; or, after a beginning of another, blanks for ever."""

    async def step(wire: Wire, seen: Seen) -> None:
        data = response(200, ranking(seen))
        if after:
            await wire.send(after)
            data = b"x" * 10_000
        for byte in data:
            await wire.send(bytes([byte]))
            await asyncio.sleep(seconds)

    return step


async def stale(wire: Wire, seen: Seen) -> None:
    """The right answer; the connection, said to be kept alive, is closed at the next request."""
    await wire.reply(200, ranking(seen))
    await wire.reader.readuntil(b"\r\n\r\n")
    wire.server.requests += 1
    wire.reset()


async def twice(wire: Wire, seen: Seen) -> None:
    """The right answer, and in the same segment another that nobody asked for."""
    _, passages = seen.pair
    wrong = {"rankings": [{"index": index, "logit": 99.0} for index in range(len(passages))]}
    await wire.send(response(200, ranking(seen)) + response(200, wrong))


async def twice_late(wire: Wire, seen: Seen) -> None:
    """The right answer, and a little later another that nobody asked for."""
    _, passages = seen.pair
    wrong = {"rankings": [{"index": index, "logit": 99.0} for index in range(len(passages))]}
    await wire.reply(200, ranking(seen))
    await asyncio.sleep(0.02)
    await wire.reply(200, wrong)


async def early_413(wire: Wire, seen: Seen) -> None:
    """413 before the body was read, then the end of the connection."""
    await wire.reply(413, {"detail": "Payload too large"}, connection="close")
    await asyncio.sleep(0.2)
    wire.close()


early_413.early = True  # type: ignore[attr-defined]


PASSING: dict[str, Step] = {
    "408": answer(408),
    "429": answer(429, {"status": 429, "title": "Too Many Requests"}),
    "429 for 20 ms": answer(429, b"", retry_after_ms="20"),
    "500": answer(500, {"detail": "boom"}),
    "502 with HTML": answer(502, b"<html><h1>Bad gateway</h1></html>", content_type="text/html"),
    "503 for 0 s": answer(503, b"", retry_after="0"),
    "504": answer(504, b"upstream timed out", content_type="text/plain"),
    "reset before the headers": reset_at_once,
    "closed before the headers": close_at_once,
    "reset in the headers": cut_short(0.02, reset=True),
    "closed in the headers": cut_short(0.02),
    "reset in the body": cut_short(0.5, reset=True),
    "closed in the body": cut_short(0.5),
    "a truncated chunk": cut_chunk,
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.9\r\n"),
}
"""Fifteen faults that another try mends."""


def gzipped(*, cut: int = 0) -> Step:
    """The right answer, compressed although nobody asked for that."""

    async def step(wire: Wire, seen: Seen) -> None:
        body = gzip.compress(json.dumps(ranking(seen)).encode())
        await wire.reply(200, body[: len(body) - cut], content_encoding="gzip")

    return step


def bomb(megabytes: int) -> Step:
    """So many megabytes of blanks, compressed to a thousandth."""
    body = gzip.compress(b" " * (megabytes << 20), 9)

    async def step(wire: Wire, seen: Seen) -> None:
        await wire.reply(200, body, content_encoding="gzip")

    return step


def flood(megabytes: int, status: int = 200) -> Step:
    """So many megabytes of blanks, as long as anybody reads."""

    async def step(wire: Wire, seen: Seen) -> None:
        head = f"HTTP/1.1 {status} X\r\ncontent-length: {megabytes << 20}\r\n\r\n"
        await wire.send(head.encode())
        for _ in range(megabytes):
            await wire.send(b" " * (1 << 20))

    return step
