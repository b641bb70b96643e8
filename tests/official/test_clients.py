"""The frameworks' own machines lose nothing although the NIM fails every request once."""

import asyncio

import pytest
from fake_nim import steps, truth
from hosted.conftest import leaving_nothing
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models.fake_chat_models import ParrotFakeChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import TextNode

TEXTS = [f"passage {number}" for number in range(12)]
QUESTIONS = [f"what is {number}?" for number in range(10)]

langchain = pytest.mark.parametrize("framework", ["langchain"], indirect=True)
llamaindex = pytest.mark.parametrize("framework", ["llamaindex"], indirect=True)


def best(question, top_n):
    return sorted(TEXTS, key=lambda text: -truth(question, text))[:top_n]


def failing_once():
    """503 for a query that was not seen before; the answer, slowly, for one that was."""
    seen_before = set()

    async def step(wire, seen):
        query, passages = seen.pair
        once = (query, *passages)
        fails = once not in seen_before
        seen_before.add(once)
        await (steps.answer(503, b"busy", retry_after="0") if fails else steps.rank(0.02))(wire, seen)

    return step


@pytest.fixture
def server(nim):
    return nim(default=failing_once())


@pytest.fixture
def reranker(make, server):
    return make(model="fake/reranker", base_url=server.url, top_n=3, max_batch_size=5)


@pytest.fixture(params=["sync", "async"])
def call(request):
    """Calls a method by name, or its asynchronous twin: call(thing, "invoke", ...)."""

    def called(thing, name, *arguments):
        if request.param == "sync":
            return getattr(thing, name)(*arguments)
        return asyncio.run(leaving_nothing(getattr(thing, f"a{name}")(*arguments)))

    return called


@pytest.fixture
def retriever():
    store = InMemoryVectorStore.from_texts(TEXTS, DeterministicFakeEmbedding(size=8))
    return store.as_retriever(search_kwargs={"k": len(TEXTS)})


@langchain
def test_a_contextual_compression_retriever_loses_nothing(call, retriever, reranker, server):
    compressing = ContextualCompressionRetriever(base_compressor=reranker, base_retriever=retriever)
    for question in QUESTIONS[:3]:
        assert [found.page_content for found in call(compressing, "invoke", question)] == best(question, 3)
    assert len(server.seen) == 3 * 3 * 2


@langchain
def test_a_batch_of_a_contextual_compression_retriever_loses_nothing(call, retriever, reranker):
    pipeline = DocumentCompressorPipeline(transformers=[reranker])
    compressing = ContextualCompressionRetriever(base_compressor=pipeline, base_retriever=retriever)
    found = call(compressing, "batch", QUESTIONS)
    assert [[one.page_content for one in each] for each in found] == [best(each, 3) for each in QUESTIONS]


@langchain
def test_a_chain_answers_a_batch_of_questions_from_the_best_documents(call, retriever, reranker, server):
    prompt = ChatPromptTemplate.from_template("{question} {context}")
    chain = (
        {"context": retriever, "question": RunnablePassthrough()}
        | RunnablePassthrough.assign(context=reranker.as_runnable())
        | prompt
        | ParrotFakeChatModel()
        | StrOutputParser()
    )
    for question, answer in zip(QUESTIONS, call(chain, "batch", QUESTIONS), strict=True):
        told = [text for text in TEXTS if f"page_content='{text}'" in answer]
        assert sorted(told) == sorted(best(question, 3))
    assert len(server.seen) == len(QUESTIONS) * 3 * 2


@pytest.fixture
def engine(reranker):
    nodes = [TextNode(text=text) for text in TEXTS]
    index = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=4))
    retriever = index.as_retriever(similarity_top_k=len(TEXTS))
    return RetrieverQueryEngine.from_args(retriever, llm=MockLLM(), node_postprocessors=[reranker])


@llamaindex
def test_a_query_engine_answers_from_the_best_nodes(call, engine):
    for question in QUESTIONS[:3]:
        answer = call(engine, "query", question)
        assert [found.get_content() for found in answer.source_nodes] == best(question, 3)


@llamaindex
async def test_a_query_engine_asked_many_things_at_once_loses_nothing(engine, server, reranker):
    answers = await asyncio.gather(*map(engine.aquery, QUESTIONS))
    found = [[one.get_content() for one in answer.source_nodes] for answer in answers]
    assert found == [best(question, 3) for question in QUESTIONS]
    assert 1 < server.most_in_flight <= 8
    await reranker.aclose()
