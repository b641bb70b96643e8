"""The same retrieval and reranking twice: a LangChain chain and a LlamaIndex query engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers.no_text import NoText
from llama_index.core.schema import TextNode

import langchain_nvrerank
import llamaindex_nvrerank
from nvrerank import Scorer

from .corpus import TopicPassage
from .scoring import Clock

CANDIDATES = 20
"""How many passages are retrieved and reranked for a question."""

Vectors = Mapping[str, list[float]]


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage in a result."""

    id: str
    score: float

    @property
    def topic(self) -> str:
        """The topic that the passage is a piece of."""
        return self.id.rpartition("#")[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """One question's candidates by cosine, and the same by the reranker's logit."""

    before: list[Hit]
    after: list[Hit]


def with_langchain(
    passages: Sequence[TopicPassage], vectors: Vectors, scorer: Scorer, clock: Clock
) -> Callable[[str], Answer]:
    """An LCEL chain: question -> retriever -> reranked context."""
    store = InMemoryVectorStore(_KnownEmbeddings(vectors))
    documents = [Document(one.text, id=one.id, metadata={"topic": one.topic}) for one in passages]
    store.add_documents(documents)

    def retrieve(inputs: Mapping[str, str]) -> list[Document]:
        with clock.measure("retrieval"):
            found = store.similarity_search_with_score(inputs["question"], k=CANDIDATES)
        return [_with_score(document, score) for document, score in found]

    rerank = langchain_nvrerank.NVIDIARerank(scorer=scorer, top_n=None)
    chain: Runnable[dict[str, str], dict[str, Any]] = RunnablePassthrough.assign(
        documents=RunnableLambda(retrieve)
    ) | RunnablePassthrough.assign(context=rerank.as_runnable())

    def ask(question: str) -> Answer:
        result = chain.invoke({"question": question})
        before = [Hit(str(one.id), one.metadata["retrieval_score"]) for one in result["documents"]]
        after = [Hit(str(one.id), one.metadata["relevance_score"]) for one in result["context"]]
        return Answer(before, after)

    return ask


def with_llamaindex(
    passages: Sequence[TopicPassage], vectors: Vectors, scorer: Scorer
) -> Callable[[str], list[Hit]]:
    """A query engine: index -> retriever -> node postprocessor; no text is generated."""
    nodes = [TextNode(id_=one.id, text=one.text, embedding=vectors[one.text]) for one in passages]
    index = VectorStoreIndex(nodes, embed_model=_known_embedding(vectors))
    engine = RetrieverQueryEngine(
        index.as_retriever(similarity_top_k=CANDIDATES),
        response_synthesizer=NoText(llm=MockLLM()),
        node_postprocessors=[llamaindex_nvrerank.NVIDIARerank(scorer=scorer, top_n=None)],
    )

    def ask(question: str) -> list[Hit]:
        found = engine.query(question).source_nodes
        return [Hit(one.node_id, one.get_score(raise_error=True)) for one in found]

    return ask


def _with_score(document: Document, score: float) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, "retrieval_score": score}})


class _KnownEmbeddings(Embeddings):
    """LangChain's view of vectors that are there already."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self._vectors[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self._vectors[text]


class _KnownEmbedding(BaseEmbedding):
    """LlamaIndex's view of the same."""

    vectors: dict[str, list[float]]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self.vectors[query]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self.vectors[query]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self.vectors[text]


def _known_embedding(vectors: Vectors) -> _KnownEmbedding:
    return _KnownEmbedding(model_name="all-MiniLM-L6-v2", vectors=dict(vectors))
