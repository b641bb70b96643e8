"""A retriever and a reranker as one."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever, RetrieverLike
from langchain_core.runnables import ConfigurableField, RunnableConfig, RunnableLambda, RunnablePassthrough
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


def only(tenant: str) -> Callable[[Document], bool]:
    return lambda document: bool(document.metadata["tenant"] == tenant)


def tenants(found: Sequence[Document]) -> list[str]:
    return [document.metadata["tenant"] for document in found]


@pytest.fixture
def shared_store() -> InMemoryVectorStore:
    """Documents of two tenants; a longer one of the wrong tenant would rank first."""
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_documents([Document(text, metadata={"tenant": text[-1]}) for text in ("of a", "a secret of b")])
    return store


def reranked(base: Any) -> RerankRetriever:
    return RerankRetriever(base_retriever=base, reranker=NVIDIARerank(scorer=ByLength()))


def streamed(runnable: Any, one_input: Any, config: Any = None, **named: Any) -> Any:
    (chunk,) = runnable.stream(one_input, config, **named)
    return chunk


def test_a_calls_arguments_reach_the_base_retriever(call: Call, shared_store: InMemoryVectorStore) -> None:
    retriever = reranked(shared_store.as_retriever())
    assert tenants(call(retriever, "q")) == ["b", "a"]  # the control: without the filter
    assert tenants(call(retriever, "q", filter=only("a"))) == ["a"]
    assert len(call(retriever, "q", k=1)) == 1
    assert tenants(call(retriever.bind(filter=only("a")), "q")) == ["a"]
    assert tenants(streamed(retriever, "q", filter=only("a"))) == ["a"]


def test_a_calls_config_reaches_the_base_retriever(call: Call, shared_store: InMemoryVectorStore) -> None:
    base = shared_store.as_retriever().configurable_fields(search_kwargs=ConfigurableField(id="search"))
    config: Any = {"configurable": {"search": {"filter": only("a")}}}
    retriever = reranked(base)
    assert tenants(call(retriever, "q", config)) == ["a"]
    assert tenants(call(reranked(retriever), "q", config)) == ["a"]
    assert tenants(call(retriever.with_config(config), "q")) == ["a"]
    assert tenants(call(RunnablePassthrough() | retriever, "q", config)) == ["a"]
    assert tenants(streamed(retriever, "q", config)) == ["a"]
    assert tenants(call(retriever, "q")) == ["b", "a"]  # nothing of it is left for the next call
    assert [spec.id for spec in retriever.config_specs] == ["search"]


def test_each_question_of_a_batch_has_its_own_config(shared_store: InMemoryVectorStore) -> None:
    base = shared_store.as_retriever().configurable_fields(search_kwargs=ConfigurableField(id="search"))
    configs: Any = [{"configurable": {"search": {"filter": only(tenant)}}} for tenant in "abba"]
    found = reranked(base).batch(["q"] * 4, configs)
    again = asyncio.run(reranked(base).abatch(["q"] * 4, configs))
    assert (
        [tenants(each) for each in found] == [tenants(each) for each in again] == [["a"], ["b"], ["b"], ["a"]]
    )


def test_its_own_fields_are_configurable(call: Call, base: BaseRetriever) -> None:
    retriever = reranked(base).configurable_fields(reranker=ConfigurableField(id="reranker"))
    none = NVIDIARerank(scorer=ByLength(), top_n=0)
    assert call(retriever, "q", {"configurable": {"reranker": none}}) == []


def test_tags_and_metadata_of_a_call_reach_the_base_and_its_name_and_id_do_not(call: Call) -> None:
    seen: list[RunnableConfig] = []

    def find(query: str, config: RunnableConfig, **named: Any) -> list[Document]:
        seen.append({**config, **named})  # type: ignore[typeddict-item]
        return [Document(query)]

    tracer = RunCollectorCallbackHandler()
    config = {"tags": ["t"], "metadata": {"user": "u"}, "run_name": "mine", "callbacks": [tracer]}
    call(reranked(RunnableLambda(find)), "q", config, limit=3)
    assert {"t"} <= set(seen[-1]["tags"])
    assert seen[-1]["metadata"]["user"] == "u"
    assert seen[-1]["limit"] == 3  # type: ignore[typeddict-item]
    for run in tracer.traced_runs:
        assert [run.name, *(child.name for child in run.child_runs)] == ["mine", "find", "NVIDIARerank"]
        assert {"t"} <= set(run.child_runs[1].tags or [])


def test_it_is_made_with_the_arguments_of_contextual_compression_retriever(base: BaseRetriever) -> None:
    reranker = NVIDIARerank(scorer=ByLength(), top_n=1)
    retriever = RerankRetriever(base_compressor=reranker, base_retriever=base)  # type: ignore[call-arg]
    assert retriever.reranker is reranker
    assert len(retriever.invoke("q")) == 1


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


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_its_json_schema_can_be_had(mode: Any) -> None:
    assert "reranker" in RerankRetriever.model_json_schema(mode=mode)["properties"]


def test_a_call_may_say_how_many(call: Call, base: BaseRetriever) -> None:
    retriever = RerankRetriever(base_retriever=base, reranker=NVIDIARerank(scorer=ByLength(), top_n=1))
    assert len(call(retriever, "q", {"configurable": {"top_n": 2}})) == 2
    assert len(call(retriever, "q")) == 1
