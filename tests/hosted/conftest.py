"""Every network test runs `score` and `ascore`, and leaves no connection, task or thread behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from fake_nim import FakeNIM, Step

from nvrerank import HostedScorer


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NVIDIA_API_KEY", "NVIDIA_BASE_URL", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def nim() -> Iterator[Callable[..., FakeNIM]]:
    """Starts a fake NIM: nim(step, step, ...)."""
    started: list[FakeNIM] = []

    def start(*steps: Step, **options: Any) -> FakeNIM:
        started.append(FakeNIM(steps, **options))
        return started[-1].__enter__()

    yield start
    idle = [server.idle() for server in started]
    for server in started:
        server.__exit__()
    assert all(idle), "a connection is still open"


@pytest.fixture
def hosted(nim: Callable[..., FakeNIM]) -> Iterator[Callable[..., HostedScorer]]:
    """Makes a scorer for a fake NIM, or of bare arguments; closed before the NIM looks for connections."""
    threads = set(threading.enumerate())
    made: list[HostedScorer] = []

    def make(server: FakeNIM | None = None, **options: Any) -> HostedScorer:
        if server is not None:
            options = {"model": "fake/reranker", "base_url": server.url, "timeout": 10} | options
        made.append(HostedScorer(**options))
        return made[-1]

    yield make
    for scorer in made:
        scorer.close()
    left = [one for one in set(threading.enumerate()) - threads if one.name.startswith("nvrerank")]
    assert not left


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Calls a method by name, or its asynchronous twin: ask(scorer, "score", query, passages)."""

    def call(scorer: HostedScorer, name: str, *arguments: Any) -> Any:
        if request.param == "sync":
            return getattr(scorer, name)(*arguments)
        return asyncio.run(leaving_nothing(getattr(scorer, f"a{name}")(*arguments)))

    return call


@pytest.fixture
def score(ask: Callable[..., Any]) -> Callable[..., list[float]]:
    """Runs `score`, then `ascore`."""
    return lambda scorer, query, passages: ask(scorer, "score", query, passages)


async def leaving_nothing(work: Coroutine[Any, Any, Any]) -> Any:
    """Awaits, then looks for tasks that are still there."""
    before = asyncio.all_tasks()
    try:
        return await work
    finally:
        for _ in range(20):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() <= before, "a task is still there"
