"""A retriever and a reranker as one."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever, RetrieverLike
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import create_retriever_tool
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import ValidationError

from langchain_nvrerank import NVIDIARerank, RerankRetriever
from nvrerank import Scorer, ServiceUnavailableError

Call = Callable[..., Any]

TEXTS = [letter * (1 + 7 * place % 10) for place, letter in enumerate("abcdefghij")]


class ByLength(Scorer):
    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        return [float(len(passage)) for passage in passages]


class Down(Scorer):
    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        raise ServiceUnavailableError("down for a while")


@pytest.fixture
def base() -> BaseRetriever:
    store = InMemoryVectorStore.from_texts(TEXTS, DeterministicFakeEmbedding(size=8))
    return store.as_retriever(search_kwargs={"k": len(TEXTS)})


def test_what_is_retrieved_comes_back_reranked_and_cut(call: Call, base: BaseRetriever) -> None:
    retriever = RerankRetriever(base_retriever=base, reranker=NVIDIARerank(scorer=ByLength(), top_n=3))
    assert [len(document.page_content) for document in call(retriever, "q")] == [10, 9, 8]


def test_any_runnable_from_query_to_documents_can_be_the_base(call: Call) -> None:
    base: RetrieverLike = RunnableLambda(lambda query: [Document("a"), Document(query)])
    retriever = RerankRetriever(base_retriever=base, reranker=NVIDIARerank(scorer=ByLength(), top_n=1))
    assert call(retriever, "long query")[0].page_content == "long query"


def test_nothing_found_is_nothing_back(call: Call) -> None:
    base: RetrieverLike = RunnableLambda(lambda _: [])
    assert call(RerankRetriever(base_retriever=base, reranker=NVIDIARerank(scorer=Down())), "q") == []


def test_the_trace_shows_retrieval_and_reranking_under_it(call: Call, base: BaseRetriever) -> None:
    tracer = RunCollectorCallbackHandler()
    retriever = RerankRetriever(base_retriever=base, reranker=NVIDIARerank(scorer=ByLength()))
    call(retriever, "q", {"callbacks": [tracer]})
    for run in tracer.traced_runs:
        assert [run.name, *(child.name for child in run.child_runs)] == [
            "RerankRetriever",
            "VectorStoreRetriever",
            "NVIDIARerank",
        ]


def test_an_error_closes_every_run(call: Call, base: BaseRetriever) -> None:
    tracer = RunCollectorCallbackHandler()
    retriever = RerankRetriever(base_retriever=base, reranker=NVIDIARerank(scorer=Down()))
    with pytest.raises(ServiceUnavailableError):
        call(retriever, "q", {"callbacks": [tracer]})
    for run in tracer.traced_runs:
        assert [bool(one.error) for one in (run, *run.child_runs)] == [True, False, True]


def test_it_serves_as_an_agent_s_tool(base: BaseRetriever) -> None:
    retriever = RerankRetriever(base_retriever=base, reranker=NVIDIARerank(scorer=ByLength(), top_n=1))
    tool = create_retriever_tool(retriever, "search", "Finds.", response_format="content_and_artifact")
    message = tool.invoke({"type": "tool_call", "id": "1", "name": "search", "args": {"query": "q"}})
    assert len(message.content) == 10
    assert message.artifact[0].metadata["relevance_score"] == 10.0


def test_a_typo_in_its_arguments_is_an_error(base: BaseRetriever) -> None:
    with pytest.raises(ValidationError, match="top_n"):
        RerankRetriever(base_retriever=base, reranker=NVIDIARerank(scorer=ByLength()), top_n=3)  # type: ignore[call-arg]
