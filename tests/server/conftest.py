"""A real server on the loopback, over scorers that tests can watch and hold back."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fake_nim import truth

from nvrerank import Scored, Scorer
from nvrerank.server import ServerSettings, create_app
from nvrerank.server.serving import Server

MODEL = "fake/reranker"


class Truth(Scorer):
    """Scores as the fake NIM does, several queries at once; remembers batches, and can be held back."""

    name = MODEL

    def __init__(self) -> None:
        self.batches: list[list[tuple[str, list[str]]]] = []
        self.entered, self.open = threading.Semaphore(0), threading.Event()
        self.open.set()

    def _score_many(self, calls):
        self.batches.append([(query, list(texts)) for query, texts in calls])
        self.entered.release()
        assert self.open.wait(20)
        for _, texts in calls:
            if "poison" in texts:
                raise ZeroDivisionError("the secret passage: poison")
        return [[Scored(truth(query, text), len(text) > 100) for text in texts] for query, texts in calls]

    def _score(self, query, passages):
        return self._score_many([(query, passages)])[0]


def until(condition: Callable[[], object]) -> None:
    """Waits for what the server's thread does after its answer is out."""
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.005)


@contextmanager
def running(scorer: Scorer, settings: ServerSettings | None = None) -> Iterator[SimpleNamespace]:
    """Serves in a thread: `url`, `client` (an httpx client of it), `service`, `scorer`."""
    app = create_app(scorer, settings)
    server = Server(app)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with httpx.Client(base_url=url, timeout=20) as client:
                while not server.started:
                    thread.join(0.01)
                yield SimpleNamespace(
                    url=url, client=client, service=app.state.service, scorer=scorer, server=server, app=app
                )
        finally:
            if isinstance(scorer, Truth):
                scorer.open.set()
            server.should_exit = True
            thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def serving() -> Iterator[Callable[..., Any]]:
    """Serves a scorer until the test ends: serving(**settings), or serving(scorer, **settings)."""
    with ExitStack() as stack:

        def serve(scorer: Scorer | None = None, **settings: Any) -> SimpleNamespace:
            return stack.enter_context(running(scorer or Truth(), ServerSettings(**settings)))

        yield serve


@pytest.fixture(scope="module")
def server() -> Iterator[SimpleNamespace]:
    """One server for tests that leave it as it was."""
    with running(Truth()) as one:
        yield one


def nim(query: str = "q", passages: Any = ("one", "two"), **more: Any) -> dict[str, Any]:
    """A NIM's request."""
    texts = [{"text": text} for text in passages]
    return {"model": MODEL, "query": {"text": query}, "passages": texts, **more}
