"""Faults, an outage, cancellation."""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import time

from fake_nim import steps  # type: ignore[import-not-found]  # of the tests

from bench.hosted.fake_server import (
    MODEL,
    PASSAGES,
    SLOW,
    Finding,
    MixedFaults,
    Outage,
    SlowQuery,
    expected,
    server,
    verdict,
    verdicts,
)
from nvrerank import HostedScorer


def _under_faults(faults: int, most: int) -> Finding:
    async def main(url: str) -> list[str]:
        async with HostedScorer(MODEL, base_url=url, max_concurrency=32, max_retries=6) as scorer:
            return await verdicts(scorer, 1000)

    with server(MixedFaults, 1000, faults) as nim:
        found = asyncio.run(main(nim.url))
        counts = nim.counts()
    lost, wrong = sum(one.startswith("lost") for one in found), found.count("wrong")
    return Finding(
        f"{lost} lost, {wrong} misordered, {counts.most_in_flight} in flight, {counts.requests} requests",
        lost == wrong == 0 and counts.most_in_flight <= 32 and counts.requests <= most,
    )


def faults_10_percent() -> Finding:
    """1,000 calls, 10 % faults of 15 kinds, 6 retries | 0 lost, 0 wrong, <= 32 at once, <= 1,100 sent."""
    return _under_faults(100, 1100)


def faults_25_percent() -> Finding:
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


def cancellations() -> Finding:
    """20 s of calls, 70 % of them cancelled, max_concurrency=10 | all usable after, nothing unretrieved."""
    told: list[str] = []

    async def caller(scorer: HostedScorer, ends: float, chance: random.Random, done: list[int]) -> None:
        while time.monotonic() < ends:
            task = asyncio.create_task(scorer.ascore("q", PASSAGES))
            if chance.random() < 0.7:
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
        return done, seconds, after == [expected(f"q{number}") for number in range(10)]

    with server(steps.rank, 0.02) as nim:
        (calls, stopped), seconds, well = asyncio.run(main(nim.url))
    gc.collect()
    return Finding(
        f"{calls} calls, {stopped} cancelled; then 10 calls of 20 ms at once in {seconds * 1000:.0f} ms, "
        f"{len(told)} unretrieved",
        well and not told and seconds < 10 * 0.02,
    )


def cancelled_slot() -> Finding:
    """max_concurrency=1, 300 calls cancelled after 0 to 20 ms | the next call is answered within 50 ms."""

    async def main(url: str) -> list[float]:
        waits = []
        async with HostedScorer(MODEL, base_url=url, max_concurrency=1) as scorer:
            await scorer.ascore("q", PASSAGES)  # the very first use imports
            for number in range(300):
                call = asyncio.create_task(scorer.ascore(SLOW, PASSAGES))
                await asyncio.sleep(number / 300 * 0.02)
                call.cancel()
                begun = time.perf_counter()
                await scorer.ascore("q", PASSAGES)
                waits.append(time.perf_counter() - begun)
                await asyncio.wait({call})
        return waits

    with server(SlowQuery, 5.0) as nim:
        waits = asyncio.run(main(nim.url))
    return Finding(
        f"{statistics.median(waits) * 1000:.2f} ms at the median, {max(waits) * 1000:.1f} ms at most",
        max(waits) < 0.05,
    )
