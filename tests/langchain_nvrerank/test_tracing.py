"""Where OpenInference traces LangChain, one trace holds the chain, the reranking and what the scorer did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from openinference.instrumentation.langchain import LangChainInstrumentor
from support.spans import recording

from langchain_nvrerank import NVIDIARerank
from nvrerank import Scorer

Compress = Callable[..., list[Document]]


class ByLength(Scorer):
    name = "by-length-1b"

    def _score(self, query: str, passages: Sequence[str]) -> list[float]:
        return [float(len(passage)) for passage in passages]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], dict[str, Any]]]:
    """The spans that ended, by name."""
    provider, exporter = recording(monkeypatch)
    LangChainInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True)
    yield lambda: {span.name: span for span in exporter.get_finished_spans()}
    LangChainInstrumentor().uninstrument()


@pytest.mark.parametrize(
    ("run_type", "told"),
    [("chain", {}), ("reranker", {"reranker.model_name": "by-length-1b", "reranker.top_k": 1})],
)
def test_the_reranking_stands_in_the_chain_s_trace(
    compress: Compress, spans: Callable[[], dict[str, Any]], run_type: Any, told: dict[str, Any]
) -> None:
    reranker = NVIDIARerank(scorer=ByLength(), top_n=1, run_type=run_type)
    step: RunnableLambda[str, Any] = RunnableLambda(
        lambda query: compress(reranker, [Document("a"), Document("bb")], query), name="step"
    )
    step.invoke("q")
    outer, run, ours = (spans()[name] for name in ("step", "NVIDIARerank", "rerank by-length-1b"))
    assert run.parent.span_id == outer.context.span_id
    assert ours.parent.span_id == run.context.span_id
    assert ours.attributes["openinference.span.kind"] == "RERANKER"
    assert run.attributes["openinference.span.kind"] == run_type.upper()
    assert {name: value for name, value in run.attributes.items() if name.startswith("reranker.")} == told
