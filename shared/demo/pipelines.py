"""The same retrieval and reranking twice: a LangChain chain and a LlamaIndex query engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers.no_text import NoText
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

import langchain_nvrerank
import llamaindex_nvrerank
from nvrerank import Scorer

from .corpus import TopicPassage
from .retrieval import Retrieved

CANDIDATES = 20
"""How many passages are retrieved and reranked for a question."""


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
    """One question's candidates as retrieved, and the same by the reranker's logit."""

    before: list[Hit]
    after: list[Hit]


def with_langchain(
    passages: Sequence[TopicPassage], retrieved: Retrieved, scorer: Scorer
) -> Callable[[str], Answer]:
    """An LCEL chain: question -> retriever -> reranked context."""
    documents = [Document(one.text, id=one.id, metadata={"topic": one.topic}) for one in passages]

    def retrieve(inputs: Mapping[str, str]) -> list[Document]:
        return [_with_score(documents[place], score) for place, score in retrieved[inputs["question"]]]

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
    passages: Sequence[TopicPassage], retrieved: Retrieved, scorer: Scorer
) -> Callable[[str], list[Hit]]:
    """A query engine: retriever -> node postprocessor; no text is generated."""
    nodes = [TextNode(id_=one.id, text=one.text) for one in passages]
    engine = RetrieverQueryEngine(
        _KnownRetriever(nodes, retrieved),
        response_synthesizer=NoText(llm=MockLLM()),
        node_postprocessors=[llamaindex_nvrerank.NVIDIARerank(scorer=scorer, top_n=None)],
    )

    def ask(question: str) -> list[Hit]:
        found = engine.query(question).source_nodes
        return [Hit(one.node_id, one.get_score(raise_error=True)) for one in found]

    return ask


def _with_score(document: Document, score: float) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, "retrieval_score": score}})


class _KnownRetriever(BaseRetriever):
    """LlamaIndex's view of what was retrieved already."""

    def __init__(self, nodes: Sequence[TextNode], retrieved: Retrieved) -> None:
        super().__init__()
        self._nodes = nodes
        self._retrieved = retrieved

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self._retrieved[query_bundle.query_str]
        return [NodeWithScore(node=self._nodes[place], score=score) for place, score in found]
