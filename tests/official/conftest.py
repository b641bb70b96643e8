"""Both adapters under one name: a test that takes `make` and `rank` runs for each, sync and async."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hosted.conftest import _no_environment, leaving_nothing, nim
from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, TextNode

import langchain_nvrerank
import llamaindex_nvrerank

__all__ = ["_no_environment", "nim"]

Found = list[tuple[str, float | None]]


@dataclass(frozen=True)
class Framework:
    """How one framework's reranker is made and called; texts in, (text, score) out."""

    name: str
    ours: type[Any]
    call: Callable[..., Any]
    acall: Callable[..., Any]
    wrap: Callable[[str], Any]
    unwrap: Callable[[Any], tuple[str, float | None]]

    def rank(self, reranker: Any, query: str, texts: Sequence[str]) -> Found:
        candidates = [self.wrap(text) for text in texts]
        return [self.unwrap(one) for one in self.call(reranker, candidates, query)]

    async def arank(self, reranker: Any, query: str, texts: Sequence[str]) -> Found:
        candidates = [self.wrap(text) for text in texts]
        return [self.unwrap(one) for one in await self.acall(reranker, candidates, query)]


LANGCHAIN = Framework(
    "langchain",
    langchain_nvrerank.NVIDIARerank,
    call=lambda reranker, documents, query: reranker.compress_documents(documents, query),
    acall=lambda reranker, documents, query: reranker.acompress_documents(documents, query),
    wrap=Document,
    unwrap=lambda document: (document.page_content, document.metadata.get("relevance_score")),
)
LLAMAINDEX = Framework(
    "llamaindex",
    llamaindex_nvrerank.NVIDIARerank,
    call=lambda reranker, nodes, query: reranker.postprocess_nodes(nodes, query_str=query),
    acall=lambda reranker, nodes, query: reranker.apostprocess_nodes(nodes, query_str=query),
    wrap=lambda text: NodeWithScore(node=TextNode(text=text)),
    unwrap=lambda one: (one.get_content(), one.score),
)


FRAMEWORKS = {one.name: one for one in (LANGCHAIN, LLAMAINDEX)}


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Framework:
    return FRAMEWORKS[request.param]


@pytest.fixture
def make(nim: Any, framework: Framework) -> Iterator[Callable[..., Any]]:
    """Makes one of our adapters; closed before the NIM looks for connections."""
    made: list[Any] = []

    def maker(**options: Any) -> Any:
        made.append(framework.ours(**options))
        return made[-1]

    yield maker
    for reranker in made:
        reranker.close()


@pytest.fixture(params=["sync", "async"])
def rank(request: pytest.FixtureRequest, framework: Framework) -> Callable[..., Found]:
    """Calls an adapter, ours or theirs: rank(reranker, query, texts)."""
    if request.param == "sync":
        return framework.rank
    return lambda *arguments: asyncio.run(leaving_nothing(framework.arank(*arguments)))


@pytest.fixture(autouse=True)
def _only_this_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing may leave 127.0.0.1, not even to be looked up."""
    left: list[object] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def near(host: object, again: Callable[..., Any], *arguments: Any) -> Any:
        if host in ("127.0.0.1", b"127.0.0.1"):
            return again(*arguments)
        left.append(host)
        raise OSError(f"{host!r} is not this machine")

    monkeypatch.setattr(socket.socket, "connect", lambda sock, to: near(to[0], connect, sock, to))
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **named: near(host, lambda: look_up(host, *rest, **named))
    )
    monkeypatch.setenv("NVIDIA_USAGE_TELEMETRY_ENABLED", "0")
    yield
    assert not left
