"""The fake NIM of the tests in a process of its own, and what scenarios share."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from fake_nim import FakeNIM, Seen, Step, Wire, steps, truth  # type: ignore[import-not-found]  # of the tests

from nvrerank import HostedScorer, NVRerankError

MODEL = "fake/reranker"
PASSAGES = [f"passage {number}" for number in range(20)]
SLOW = "slow"
"""The query that `SlowQuery` answers late."""


@dataclass(frozen=True)
class Finding:
    """What a scenario measured, and whether that holds."""

    measured: str
    holds: bool


@dataclass(frozen=True)
class Counts:
    """What the server has seen."""

    requests: int
    most_in_flight: int
    accepted: int


class MixedFaults:
    """An exact share of faults, at random places, among as many requests as they make necessary.

    Args:
        calls: How many requests are to be answered in the end.
        faults: How many are to fail.
    """

    def __init__(self, calls: int, faults: int) -> None:
        kinds: list[Step] = list(steps.PASSING.values())
        mixed = [kinds[number % len(kinds)] for number in range(faults)] + [steps.rank(0.01)] * calls
        random.Random(11).shuffle(mixed)
        self._next = iter(mixed)

    async def __call__(self, wire: Wire, seen: Seen) -> None:
        """Fails, or answers."""
        await next(self._next, steps.rank())(wire, seen)


class Outage:
    """503 for so many seconds from the first request on, then answers."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends: float | None = None

    async def __call__(self, wire: Wire, seen: Seen) -> None:
        """Answers, or does not."""
        self._ends = self._ends or time.monotonic() + self._seconds
        down = time.monotonic() < self._ends
        await (steps.answer(503, b"") if down else steps.rank())(wire, seen)


class SlowQuery:
    """Answers `SLOW` after so many seconds, all else at once."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __call__(self, wire: Wire, seen: Seen) -> None:
        """Answers."""
        await steps.rank(self._seconds if seen.pair[0] == SLOW else 0.0)(wire, seen)


def _serve(pipe: Connection, kind: Callable[..., Step], arguments: tuple[Any, ...]) -> None:
    with FakeNIM(default=kind(*arguments), remembers=False) as server:
        pipe.send(server.url)
        while pipe.recv():
            pipe.send(Counts(server.requests, server.most_in_flight, server.accepted))


class ServerProcess:
    """A fake NIM in another process."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.url: str = pipe.recv()

    def counts(self) -> Counts:
        """What it has seen so far."""
        self._pipe.send(True)
        counts: Counts = self._pipe.recv()
        return counts


@contextlib.contextmanager
def server(kind: Callable[..., Step], *arguments: Any) -> Iterator[ServerProcess]:
    """Starts a fake NIM whose requests meet this step."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, kind, arguments), daemon=True)
    process.start()
    try:
        yield ServerProcess(ours)
        ours.send(False)
    finally:
        process.join(5)
        process.kill()


def expected(query: str, passages: list[str] = PASSAGES) -> list[float]:
    """The scores that belong to a query."""
    return [truth(query, passage) for passage in passages]


async def verdict(scorer: HostedScorer, query: str) -> str:
    """How a call went: "right", "wrong" or "lost: ..."."""
    try:
        return "right" if await scorer.ascore(query, PASSAGES) == expected(query) else "wrong"
    except NVRerankError as error:
        return f"lost: {error}"


async def verdicts(scorer: HostedScorer, count: int, first: int = 0) -> list[str]:
    """How so many calls at once went, each with a query of its own."""
    return await asyncio.gather(*(verdict(scorer, f"q{first + number}") for number in range(count)))
