"""Inside LlamaIndex's own machines: a query engine and a retriever evaluator."""

import asyncio
from typing import Any

import pytest
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.evaluation import RetrieverEvaluator
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import BaseRetriever, QueryFusionRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from support.simple_scorers import ByOverlap

from llamaindex_nvrerank import NVIDIARerank, RerankedNode

TEXTS = ["bread is baked", "a cat sleeps", "the cat eats fish", "rain falls", "stars shine", "dogs bark"]


@pytest.fixture
def index() -> VectorStoreIndex:
    nodes = [TextNode(text=text, id_=f"n{place}") for place, text in enumerate(TEXTS)]
    return VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=4))


@pytest.mark.parametrize("way", ["query", "aquery"])
def test_a_query_engine_answers_from_the_best_nodes(index: VectorStoreIndex, way: str) -> None:
    engine = index.as_query_engine(
        llm=MockLLM(),
        similarity_top_k=len(TEXTS),
        node_postprocessors=[NVIDIARerank(scorer=ByOverlap(), top_n=1)],
    )
    question = "what does the cat eat"
    answer: Any = engine.query(question) if way == "query" else asyncio.run(_aquery(engine, question))
    assert [node.get_content() for node in answer.source_nodes] == ["the cat eats fish"]
    assert "the cat eats fish" in str(answer)  # the mock returns its prompt
    assert "bread" not in str(answer)
    assert "retrieval_score" not in str(answer)


def test_the_index_s_own_nodes_stay_as_they_were(index: VectorStoreIndex) -> None:
    engine = index.as_query_engine(
        llm=MockLLM(), node_postprocessors=[NVIDIARerank(scorer=ByOverlap())], similarity_top_k=6
    )
    answer = engine.query("cat")
    assert all(isinstance(node, RerankedNode) and node.retrieval_score for node in answer.source_nodes)
    assert all(node.metadata == {} for node in index.docstore.docs.values())


class Found(BaseRetriever):
    """Nodes with scores, reranked if there is a reranker."""

    def __init__(self, found: dict[str, float], reranker: NVIDIARerank | None = None) -> None:
        self._found, self._reranker = found, reranker
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = [
            NodeWithScore(node=TextNode(text=text, id_=text, metadata={"page": 1}), score=score)
            for text, score in self._found.items()
        ]
        return self._reranker.postprocess_nodes(found, query_bundle) if self._reranker else found


@pytest.mark.parametrize("mode", ["reciprocal_rerank", "relative_score", "dist_based_score", "simple"])
@pytest.mark.parametrize("options", [{}, {"fuse": "rrf"}])
def test_query_fusion_merges_reranked_nodes_with_those_of_other_retrievers(
    mode: Any, options: dict[str, Any]
) -> None:
    reranker = NVIDIARerank(scorer=ByOverlap(), **options)
    retrievers = [Found({"a cat": 0.1, "rain": 0.2}), Found({"rain": 0.9, "the cat": 0.8}, reranker)]
    fusion = QueryFusionRetriever(
        retrievers, llm=MockLLM(), num_queries=1, use_async=False, mode=mode, similarity_top_k=9
    )
    assert ids(fusion) == ["a cat", "rain", "the cat"]
    reranker.keep_retrieval_score = True  # the control: it is in the hash, as the docstring says
    assert ids(fusion) == ["a cat", "rain", "rain", "the cat"]


def ids(fusion: QueryFusionRetriever) -> list[str]:
    """What it merges, before `retrieve` drops doubles from the top_k that are left."""
    return sorted(one.node_id for one in fusion._retrieve(QueryBundle("the cat")))


async def test_the_retriever_evaluator_calls_it_inside_a_running_loop(index: VectorStoreIndex) -> None:
    evaluator = RetrieverEvaluator.from_metric_names(
        ["mrr"],
        retriever=index.as_retriever(similarity_top_k=len(TEXTS)),
        node_postprocessors=[NVIDIARerank(scorer=ByOverlap())],
    )
    result = await evaluator.aevaluate("the cat eats", ["n2"])
    assert result.metric_vals_dict == {"mrr": 1.0}


async def _aquery(engine: Any, question: str) -> Any:
    return await engine.aquery(question)
