"""LangChain's documents and LlamaIndex's nodes, looked at."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, TextNode
from support.html import Page
from support.simple_scorers import Length

import langchain_nvrerank
import llamaindex_nvrerank
from nvrerank import Ranking, rerank
from nvrerank.show import page, plot_rank_flow, plot_scores, ranking_of, table, to_pandas

TEXTS = ["a", "ccc", "bb", "ccc", " "]


def documents():
    return [Document(text, metadata={"relevance_score": 0.5 - at / 10}) for at, text in enumerate(TEXTS)]


def nodes():
    return [NodeWithScore(node=TextNode(text=text), score=0.5 - at / 10) for at, text in enumerate(TEXTS)]


def reranked(kind, retrieved):
    if kind == "langchain":
        return langchain_nvrerank.NVIDIARerank(scorer=Length()).compress_documents(retrieved, "q")
    return llamaindex_nvrerank.NVIDIARerank(scorer=Length()).postprocess_nodes(retrieved, query_str="q")


@pytest.fixture(params=["langchain", "llamaindex"])
def found(request):
    """What was retrieved, and what the adapter made of it."""
    retrieved = {"langchain": documents, "llamaindex": nodes}[request.param]()
    return retrieved, reranked(request.param, retrieved)


def test_a_table_shows_what_they_know(found):
    read = Page(table(found[1]))
    assert read.texts("th")[:4] == ["rank", "score", "retrieval score", "passage"]
    assert read.rows()[:3] == [
        ["1", "3.000", "0.400", "ccc"],
        ["2", "3.000", "0.200", "ccc"],
        ["3", "2.000", "0.300", "bb"],
    ]
    assert read.rows()[4][:2] == ["5", "\u2013"]


def test_with_what_was_retrieved_it_is_the_ranking_that_rerank_returns(found):
    retrieved, results = found
    ranking = ranking_of(results, "q", retrieved=retrieved)
    expected = rerank(Length(), "q", TEXTS)
    assert type(ranking) is Ranking
    assert [(one.index, one.score, one.text) for one in ranking] == [
        (one.index, one.score, one.text) for one in expected
    ]
    assert ranking.passages == expected.passages
    assert ranking.retrieval_scores == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1])
    assert (ranking.query, len(plot_rank_flow(ranking).lines)) == ("q", 5)


def test_where_they_stood_is_not_made_up(found):
    assert not {"before", "moved"} & set(to_pandas(found[1]).columns)
    assert {"before", "moved"} <= set(to_pandas(ranking_of(found[1], retrieved=found[0])).columns)
    assert "before" not in str(ranking_of(found[1])[:2])
    with pytest.raises(ValueError, match="retrieved="):
        plot_rank_flow(found[1])


def test_pages_and_histograms_take_them_too(found):
    assert Page(page(found[1])).texts("h1") == ["Ranking"]
    assert Page(page(ranking_of(found[1], "why?"))).texts("h1") == ["why?"]
    assert plot_scores(ranking_of(found[1])) is not None


def test_the_part_that_decided_is_marked():
    metadata = {"relevance_score": 1.0, "relevance_window": [4, 7], "relevance_truncated": True}
    read = Page(table([Document("one two three", metadata=metadata)]))
    assert read.texts("mark") == ["two"]
    assert "its end was not read" in read.rows()[0][-1]


def test_documents_that_nobody_reranked_have_no_score():
    assert Page(table([Document("a"), Document("b")])).rows() == [["1", "\u2013", "a"], ["2", "\u2013", "b"]]
    assert "no passage stayed" in table([])


def test_a_ranking_stays_the_one_it_is(ranking):
    assert ranking_of(ranking) is ranking


def test_what_was_not_retrieved_and_what_is_no_document_is_an_error(found):
    with pytest.raises(ValueError, match="not among what was retrieved: 'ccc'"):
        ranking_of(found[1], retrieved=found[0][:1])
    with pytest.raises(TypeError, match="not int"):
        table([1])
