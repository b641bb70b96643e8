"""Faults, an outage, cancellation."""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import time

from fake_nim import steps  # type: ignore[import-not-found]  # of the tests

from bench.hosted.nim import MODEL, PASSAGES, Deck, Finding, Outage, right, server, verdict
from nvrerank import HostedScorer
from nvrerank.hosted.deadline import Deadline


def _under_faults(faults: int, most: int) -> Finding:
    async def main(url: str) -> list[str]:
        async with HostedScorer(MODEL, base_url=url, max_concurrency=32, max_retries=6) as scorer:
            return await asyncio.gather(*(verdict(scorer, f"q{number}") for number in range(1000)))

    with server(Deck, 1000, faults) as nim:
        verdicts = asyncio.run(main(nim.url))
        counts = nim.counts()
    lost, wrong = sum(one.startswith("lost") for one in verdicts), verdicts.count("wrong")
    return Finding(
        f"{lost} lost, {wrong} misordered, {counts.most_in_flight} in flight, {counts.requests} requests",
        lost == wrong == 0 and counts.most_in_flight <= 32 and counts.requests <= most,  # noqa: PLR2004
    )


def tenth() -> Finding:
    """1,000 calls, 10 % faults of 15 kinds, 6 retries | 0 lost, 0 wrong, <= 32 at once, <= 1,100 sent."""
    return _under_faults(100, 1100)


def quarter() -> Finding:
    """1,000 calls, 25 % faults of 15 kinds, 6 retries | 0 lost, 0 wrong, <= 32 at once, <= 1,300 sent."""
    return _under_faults(250, 1300)


def outage() -> Finding:
    """5 s of nothing but 503, 100 calls a second | extra requests <= 100 + 10 %, all well 2 s after."""

    async def call(scorer: HostedScorer, number: int) -> tuple[float, bool]:
        begun = time.monotonic()
        return begun, await verdict(scorer, f"q{number}") == "right"

    async def main(url: str) -> list[tuple[float, bool]]:
        async with HostedScorer(MODEL, base_url=url, max_concurrency=32) as scorer:
            calls = []
            for number in range(900):
                calls.append(asyncio.create_task(call(scorer, number)))
                await asyncio.sleep(0.01)
            return await asyncio.gather(*calls)

    with server(Outage, 5.0) as nim:
        started = time.monotonic()
        calls = asyncio.run(main(nim.url))
        extra = nim.counts().requests - len(calls)
    last_failure = max(begun for begun, well in calls if not well) - started
    failed = sum(not well for _, well in calls)
    return Finding(
        f"{len(calls)} calls, {failed} failed, {extra} extra requests; the last call that failed began "
        f"{last_failure - 5:+.2f} s from healing",
        extra <= 100 + len(calls) / 10 and last_failure < 5 + 2,
    )


def cancelled() -> Finding:
    """20 s of calls, 70 % of them cancelled, 10 places | all usable after, nothing unretrieved."""
    told: list[str] = []

    async def caller(scorer: HostedScorer, ends: float, chance: random.Random, done: list[int]) -> None:
        while time.monotonic() < ends:
            task = asyncio.create_task(scorer.ascore("q", PASSAGES))
            if chance.random() < 0.7:  # noqa: PLR2004
                await asyncio.sleep(chance.random() * 0.03)
                done[1] += task.cancel()
            await asyncio.wait({task})
            done[0] += 1

    async def main(url: str) -> tuple[list[int], float, bool]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context)))
        done, chance = [0, 0], random.Random(7)
        async with HostedScorer(MODEL, base_url=url, max_concurrency=10) as scorer:
            ends = time.monotonic() + 20
            await asyncio.gather(*(caller(scorer, ends, chance, done) for _ in range(30)))
            begun = time.monotonic()
            after = await asyncio.gather(*(scorer.ascore(f"q{number}", PASSAGES) for number in range(10)))
            seconds = time.monotonic() - begun
        return done, seconds, after == [right(f"q{number}") for number in range(10)]

    with server(steps.rank, 0.02) as nim:
        (calls, stopped), seconds, well = asyncio.run(main(nim.url))
    gc.collect()
    return Finding(
        f"{calls} calls, {stopped} cancelled; then 10 calls of 20 ms at once in {seconds * 1000:.0f} ms, "
        f"{len(told)} unretrieved",
        well and not told and seconds < 10 * 0.02,
    )


def freed() -> Finding:
    """A cancelled call's place, 300 times, cancelled after 0 to 20 ms | free again within 50 ms."""

    async def main(url: str) -> list[float]:
        waits = []
        async with HostedScorer(MODEL, base_url=url, max_concurrency=1) as scorer:
            limiter = scorer._client._limiter  # noqa: SLF001 (what is measured)
            await scorer.aready()  # the very first use imports
            for number in range(300):
                call = asyncio.create_task(scorer.ascore("q", PASSAGES))
                await asyncio.sleep(number / 300 * 0.02)
                call.cancel()
                begun = time.perf_counter()
                await limiter.aacquire(Deadline(5))
                waits.append(time.perf_counter() - begun)
                limiter.release()
                await asyncio.wait({call})
        return waits

    with server(steps.rank, 5.0) as nim:
        waits = asyncio.run(main(nim.url))
    return Finding(
        f"{statistics.median(waits) * 1000:.2f} ms at the median, {max(waits) * 1000:.1f} ms at most",
        max(waits) < 0.05,  # noqa: PLR2004
    )
