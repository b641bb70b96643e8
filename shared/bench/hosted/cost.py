"""Time, CPU and memory."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import statistics
import time
import tracemalloc
import warnings
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

os.environ["NVIDIA_USAGE_TELEMETRY_ENABLED"] = "0"  # the official class tells by default

import httpx
from fake_nim import steps  # type: ignore[import-not-found]  # of the tests

from bench.hosted.fake_server import MODEL, Finding, expected, server
from nvrerank import HostedScorer


def against_the_official_classes() -> Finding:
    """600 passages in batches of 32, server of 0.2 s, max_concurrency=8 | <= a quarter of their time."""
    passages = [f"passage {number}" for number in range(600)]

    def seconds(work: Callable[[], object]) -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    with server(steps.rank, 0.2) as nim:
        options: dict[str, Any] = {"base_url": nim.url, "max_batch_size": 32, "max_concurrency": 8}
        with HostedScorer(MODEL, **options) as scorer:
            ours = seconds(lambda: scorer.score("q", passages))
            ours_async = seconds(lambda: asyncio.run(scorer.ascore("q", passages)))
        theirs = {name: seconds(run) for name, run in _official(nim.url, passages).items()}
    told = ", ".join(f"{name} {time_:.2f} s" for name, time_ in theirs.items())
    return Finding(
        f"ours {ours:.2f} s, async {ours_async:.2f} s; {told}",
        max(ours, ours_async) <= min(theirs.values()) / 4,
    )


def _official(url: str, passages: list[str]) -> dict[str, Callable[[], object]]:
    """The official classes that are installed; without them, requests one after another as they make them."""
    runs: dict[str, Callable[[], object]] = {}
    options = {"model": MODEL, "base_url": url, "max_batch_size": 32, "top_n": 600, "api_key": "none"}
    with contextlib.suppress(ImportError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ranker = import_module("langchain_nvidia_ai_endpoints").NVIDIARerank(**options)
        documents = [import_module("langchain_core.documents").Document(passage) for passage in passages]
        runs["LangChain's"] = lambda: ranker.compress_documents(documents, "q")
        runs["LangChain's async"] = lambda: asyncio.run(ranker.acompress_documents(documents, "q"))
    with contextlib.suppress(ImportError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        postprocessor = import_module("llama_index.postprocessor.nvidia_rerank").NVIDIARerank(**options)
        schema = import_module("llama_index.core.schema")
        nodes = [schema.NodeWithScore(node=schema.TextNode(text=passage)) for passage in passages]
        runs["LlamaIndex's"] = lambda: postprocessor.postprocess_nodes(nodes, query_str="q")
    if not runs:
        with httpx.Client() as client:
            bodies = [_body(passages[start : start + 32]) for start in range(0, 600, 32)]
            runs["one after another"] = lambda: [client.post(f"{url}/ranking", json=body) for body in bodies]
    return runs


def _body(passages: list[str]) -> dict[str, object]:
    return {"model": MODEL, "query": {"text": "q"}, "passages": [{"text": one} for one in passages]}


def overhead() -> Finding:
    """CPU on a call of 20 passages, beside bare httpx | at most 1 ms more."""
    passages = [f"passage {number} " + "word " * 150 for number in range(20)]
    body, rounds, calls = _body(passages), 15, 100

    async def acpu(work: Callable[[], Awaitable[object]]) -> float:
        begun = time.process_time()
        for _ in range(calls):
            await work()
        return (time.process_time() - begun) / calls

    def cpu(work: Callable[[], object]) -> float:
        begun = time.process_time()
        for _ in range(calls):
            work()
        return (time.process_time() - begun) / calls

    async def main(endpoint: str, scorer: HostedScorer) -> list[tuple[float, float]]:
        async with httpx.AsyncClient() as client:

            async def bare() -> object:
                return (await client.post(endpoint, json=body)).json()

            ours = functools.partial(scorer.ascore, "q", passages)
            return [(await acpu(bare), await acpu(ours)) for _ in range(rounds)]

    with server(steps.rank, 0.0) as nim, HostedScorer(MODEL, base_url=nim.url) as scorer:
        endpoint = f"{nim.url}/ranking"
        with httpx.Client() as client:
            bare = lambda: client.post(endpoint, json=body).json()  # noqa: E731
            ours = functools.partial(scorer.score, "q", passages)
            pairs = [(cpu(bare), cpu(ours)) for _ in range(rounds)]
        apairs = asyncio.run(main(endpoint, scorer))
    told, most = [], 0.0
    for name, some in (("", pairs), ("async ", apairs)):
        more = statistics.median(ours - bare for bare, ours in some) * 1000
        told.append(f"{name}{more:+.2f} ms over {statistics.median(bare for bare, _ in some) * 1000:.2f} ms")
        most = max(most, more)
    return Finding(", ".join(told), most <= 1)


def ten_thousand() -> Finding:
    """10,000 passages of 2,000 characters in one call | 20 requests, memory < 3 x the payload, in order."""
    passages = [f"{number} " + "lorem " * 332 for number in range(10_000)]
    payload = sum(len(passage) for passage in passages)
    with server(steps.rank, 0.0) as nim, HostedScorer(MODEL, base_url=nim.url, timeout=120) as scorer:
        tracemalloc.start()
        scores = scorer.score("q", passages)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        counts = nim.counts()
    right = scores == expected("q", passages)
    return Finding(
        f"{counts.requests} requests, {peak / payload:.2f} x the payload of {payload / 1e6:.0f} MB, order "
        f"{'exact' if right else 'WRONG'}",
        counts.requests == 20 and peak < 3 * payload and right,
    )
