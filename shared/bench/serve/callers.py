"""Callers of a server on 127.0.0.1 that cost little: one request at a time on a kept connection."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

_NEAR = 1e-3  # logits of float32 in other batches
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as bytes, and the logits that are right for it."""

    data: bytes
    logits: Sequence[float]


def asked(
    model: str, query: str, passages: Sequence[str], logits: Sequence[float], *, path: str = "/v1/ranking"
) -> Asked:
    """A NIM's request; at another path one of Cohere's, for logits."""
    body: dict[str, object] = {"model": model, "query": query, "documents": passages, "raw_scores": True}
    if path == "/v1/ranking":
        texts = [{"text": text} for text in passages]
        body = {"model": model, "query": {"text": query}, "passages": texts, "truncate": "END"}
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: {_HOST}\r\ncontent-type: application/json\r\n"
    return Asked(head.encode() + b"content-length: %d\r\n\r\n" % len(data) + data, logits)


@dataclass
class Tally:
    """What came of many requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    lost: int = 0

    def add(self, status: int, body: bytes, one: Asked, seconds: float) -> None:
        """One answer."""
        self.statuses[status] += 1
        if status == 200:
            self.seconds.append(seconds)
            reply = json.loads(body)
            by_index = {entry["index"]: entry["logit"] for entry in reply.get("rankings", ())}
            by_index |= {entry["index"]: entry["relevance_score"] for entry in reply.get("results", ())}
            near = [abs(by_index[index] - logit) < _NEAR for index, logit in enumerate(one.logits)]
            self.wrong += not all(near)


class Callers:
    """Connections to a port, taken up again after each answer.

    Args:
        port: The server's.
        requests: What is asked, over and over.
    """

    def __init__(self, port: int, requests: Sequence[Asked]) -> None:
        self.tally = Tally()
        self._port, self._requests, self._number = port, requests, count()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self) -> None:
        """Asks once; an answer that does not come is counted as lost."""
        one = self._requests[next(self._number) % len(self._requests)]
        began = time.perf_counter()
        try:
            wire = self._kept() or await asyncio.open_connection(_HOST, self._port)
            wire[1].write(one.data)
            status, body, kept = await _answer(wire[0])
        except (OSError, EOFError):
            self.tally.lost += 1
            return
        if kept:
            self._idle.append(wire)
        else:
            wire[1].close()
        self.tally.add(status, body, one, time.perf_counter() - began)

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A kept connection that the server has not closed meanwhile, as it does with idle ones."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    async def in_turns(self, callers: int, seconds: float) -> float:
        """So many callers, each asking again once it is answered; returns answers a second."""
        ends = (began := time.perf_counter()) + seconds

        async def call() -> None:
            while time.perf_counter() < ends:
                await self.ask()

        await asyncio.gather(*(call() for _ in range(callers)))
        return self.tally.statuses[200] / (time.perf_counter() - began)

    async def at_a_rate(self, rate: float, seconds: float) -> float:
        """So many new requests a second, whatever becomes of the others; returns good answers a second."""
        began, under_way = time.perf_counter(), set()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            under_way.add(task := asyncio.create_task(self.ask()))
            task.add_done_callback(under_way.discard)
        good, spent = self.tally.statuses[200], time.perf_counter() - began
        await asyncio.gather(*under_way)
        return good / spent

    def close(self) -> None:
        """Closes the connections."""
        for _, writer in self._idle:
            writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length), b"connection: close" not in head


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which such a share lies; 0 where there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
