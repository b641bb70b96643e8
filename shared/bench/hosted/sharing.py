"""One scorer in many threads, event loops and processes."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from fake_nim import steps  # type: ignore[import-not-found]  # of the tests

from bench.hosted.fake_server import MODEL, PASSAGES, Finding, expected, server, verdict, verdicts
from nvrerank import HostedScorer


def loops() -> Finding:
    """46 calls over several event loops, one after another and at once | 0 lost, 0 wrong."""
    with server(steps.rank, 0.01) as nim, HostedScorer(MODEL, base_url=nim.url) as scorer:
        found = [one for first in range(4) for one in asyncio.run(verdicts(scorer, 4, first * 4))]
        with ThreadPoolExecutor(5) as threads:
            runs = [threads.submit(asyncio.run, verdicts(scorer, 6, 100 * first)) for first in range(1, 6)]
            found += [one for run in runs for one in run.result()]
    well = found.count("right")
    return Finding(f"{well} of 46 right, over 9 loops", well == len(found) == 46)


def forks() -> Finding:
    """402 calls with 8 forks while the parent calls | 0 lost, 0 wrong."""

    def well(scorer: HostedScorer, query: str) -> bool:
        if len(query) % 2:
            return asyncio.run(verdict(scorer, query)) == "right"
        return scorer.score(query, PASSAGES) == expected(query)

    def forked(scorer: HostedScorer, child: int) -> int:
        pid = os.fork()
        if pid == 0:
            answers = [well(scorer, f"child {child} {number}") for number in range(48)]
            os._exit(48 - sum(answers))
        return pid

    parent = 0
    with server(steps.rank, 0.002) as nim, HostedScorer(MODEL, base_url=nim.url) as scorer:
        parent += well(scorer, "parent")
        pids = []
        for child in range(8):
            pids.append(forked(scorer, child))
            parent += sum(well(scorer, f"parent {child} {number}") for number in range(2))
        parent += well(scorer, "parent again")
        missing = sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids)
    total = parent + 8 * 48 - missing
    return Finding(f"{total} of 402 right, in 9 processes", total == 402)


def threads() -> Finding:
    """64 threads on one scorer, 10 calls each | 0 lost, 0 wrong, <= 8 in flight."""
    with server(steps.rank, 0.005) as nim, HostedScorer(MODEL, base_url=nim.url) as scorer:
        with ThreadPoolExecutor(64) as pool:
            queries = [f"q{number}" for number in range(640)]
            answers = list(pool.map(lambda query: scorer.score(query, PASSAGES), queries))
        counts = nim.counts()
    well = sum(answer == expected(query) for answer, query in zip(answers, queries, strict=True))
    return Finding(
        f"{well} of 640 right, {counts.most_in_flight} in flight, {counts.accepted} connections",
        well == 640 and counts.most_in_flight <= 8,
    )
