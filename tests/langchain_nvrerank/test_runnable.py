"""`as_runnable()` in chains as people write them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models.fake_chat_models import ParrotFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langchain_core.vectorstores import InMemoryVectorStore
from langgraph.graph import START, StateGraph
from pydantic import BaseModel
from support.simple_scorers import ByOverlap

from langchain_nvrerank import NVIDIARerank

Call = Callable[..., Any]

TEXTS = ["bread is baked", "a cat sleeps", "the cat eats fish", "rain falls", "stars shine", "dogs bark"]


class OnlyAsync(ByOverlap):
    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        raise NotImplementedError

    async def ascore(self, query: str, passages: Sequence[str]) -> list[float]:
        return ByOverlap().score(query, passages)


def documents() -> list[Document]:
    return [Document(text) for text in TEXTS]


def test_a_chain_answers_from_the_best_documents(call: Call) -> None:
    store = InMemoryVectorStore.from_texts(TEXTS, DeterministicFakeEmbedding(size=8))
    reranker = NVIDIARerank(scorer=ByOverlap(), top_n=1)
    prompt = ChatPromptTemplate.from_template("{question} {context}")
    chain = (
        {"context": store.as_retriever(search_kwargs={"k": 6}), "question": RunnablePassthrough()}
        | RunnablePassthrough.assign(context=reranker.as_runnable())
        | prompt
        | ParrotFakeChatModel()
        | StrOutputParser()
    )
    answer = call(chain, "what does the cat eat")
    assert "the cat eats fish" in answer
    assert "bread" not in answer


@pytest.mark.parametrize("query_key", ["query", "question", "input"])
@pytest.mark.parametrize("documents_key", ["documents", "context"])
def test_the_usual_keys_are_found(call: Call, query_key: str, documents_key: str) -> None:
    runnable = NVIDIARerank(scorer=ByOverlap(), top_n=1).as_runnable()
    (found,) = call(runnable, {query_key: "cat fish", documents_key: documents()})
    assert found.page_content == "the cat eats fish"


def test_keys_can_be_named(call: Call) -> None:
    runnable = NVIDIARerank(scorer=ByOverlap(), top_n=1).as_runnable(query_key="q", documents_key="hits")
    inputs = {"q": "cat fish", "hits": documents(), "query": "bread", "documents": []}
    assert call(runnable, inputs)[0].page_content == "the cat eats fish"


@pytest.mark.parametrize(
    ("keys", "inputs", "message"),
    [
        ({}, {"query": "q"}, r"no 'documents' or 'context' \(its keys: 'query'\)"),
        ({}, {"context": []}, "no 'query' or 'question' or 'input'"),
        ({"query_key": "q"}, {"query": "q", "documents": []}, "no 'q' .* name yours"),
        ({}, {}, "keys: none"),
    ],
)
def test_a_missing_key_is_named(
    call: Call, keys: Mapping[str, str], inputs: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        call(NVIDIARerank(scorer=ByOverlap()).as_runnable(**keys), inputs)


def test_an_input_that_is_no_mapping_is_named(call: Call) -> None:
    with pytest.raises(TypeError, match="a mapping with the query and the documents, not one str"):
        call(NVIDIARerank(scorer=ByOverlap()).as_runnable(), "what does the cat eat")


def test_its_run_stands_in_the_chain_s_trace(call: Call) -> None:
    tracer = RunCollectorCallbackHandler()
    runnable = NVIDIARerank(scorer=ByOverlap()).as_runnable()
    call(runnable, {"query": "cat", "documents": documents()}, {"callbacks": [tracer], "tags": ["mine"]})
    for run in tracer.traced_runs:
        (child,) = run.child_runs
        assert (run.name, child.name) == ("rerank_documents", "NVIDIARerank")
        assert "mine" in (child.tags or [])


def test_its_async_calls_score_asynchronously() -> None:
    runnable = NVIDIARerank(scorer=OnlyAsync(), top_n=1).as_runnable()
    inputs = {"query": "cat fish", "documents": documents()}
    assert asyncio.run(runnable.ainvoke(inputs))[0].page_content == "the cat eats fish"
    assert len(asyncio.run(runnable.abatch([inputs] * 3))) == 3


async def test_a_reranker_run_is_an_event_of_its_own_kind() -> None:
    runnable = NVIDIARerank(scorer=ByOverlap(), run_type="reranker").as_runnable()
    inputs = {"query": "cat", "documents": documents()}
    kinds = [event["event"] async for event in runnable.astream_events(inputs, version="v2")]
    assert {"on_reranker_start", "on_reranker_end"} <= set(kinds)


def test_a_retriever_and_a_query_compose_in_one_line(call: Call) -> None:
    reranker = NVIDIARerank(scorer=ByOverlap(), top_n=1)
    retriever = RunnableLambda(lambda _query: documents())
    assert call(retriever | reranker.with_query("cat fish"), "cat")[0].page_content == "the cat eats fish"


def test_the_last_message_of_a_person_can_be_the_query(call: Call) -> None:
    messages = [HumanMessage("bread"), HumanMessage("cat fish"), AIMessage("rain")]
    runnable = NVIDIARerank(scorer=ByOverlap(), top_n=1).as_runnable()
    (found,) = call(runnable, {"messages": messages, "context": documents()})
    assert found.page_content == "the cat eats fish"


@pytest.mark.parametrize("top_n", [0, 3, None])
def test_a_call_may_say_how_many(call: Call, top_n: int | None) -> None:
    reranker = NVIDIARerank(scorer=ByOverlap(), top_n=1)
    inputs = {"query": "cat fish", "documents": documents()}
    config = {"configurable": {"top_n": top_n}}
    wanted = len(TEXTS) if top_n is None else top_n
    assert len(call(reranker.as_runnable(), inputs, config)) == wanted
    assert len(call(reranker.as_runnable(), inputs)) == 1


class State(TypedDict):
    question: str
    context: list[Document]


@dataclass
class DataclassState:
    question: str
    context: list[Document]


class ModelState(BaseModel):
    question: str
    context: list[Document]


@pytest.mark.parametrize("schema", [State, DataclassState, ModelState])
def test_a_node_of_a_graph_is_one_line(call: Call, schema: Any) -> None:
    graph = StateGraph(schema)
    graph.add_node("rerank", NVIDIARerank(scorer=ByOverlap(), top_n=1).as_node())
    graph.add_edge(START, "rerank")
    state = call(graph.compile(), schema(question="cat fish", context=documents()))
    assert [one.page_content for one in state["context"]] == ["the cat eats fish"]
    assert state["question"] == "cat fish"


def test_a_node_writes_the_key_it_read(call: Call) -> None:
    node = NVIDIARerank(scorer=ByOverlap(), top_n=1).as_node(query_key="q", documents_key="hits")
    assert list(call(node, {"q": "cat fish", "hits": documents(), "context": []})) == ["hits"]
