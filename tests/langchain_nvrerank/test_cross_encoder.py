"""`RerankCrossEncoder` where LangChain takes a cross-encoder."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
from langchain_core.documents import Document

from langchain_nvrerank import RerankCrossEncoder
from nvrerank import Scorer, ServiceUnavailableError


class ByLength(Scorer):
    def __init__(self) -> None:
        self.asked: list[str] = []

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        self.asked.append(query)
        if query == "down":
            raise ServiceUnavailableError("down for a while")
        return [float(len(query) + len(passage)) for passage in passages]


def test_langchain_s_own_reranker_takes_any_scorer() -> None:
    compressor = CrossEncoderReranker(model=RerankCrossEncoder(ByLength()), top_n=2)
    found = compressor.compress_documents([Document(text) for text in ("a", " ", "ccc", "bb")], "q")
    assert [one.page_content for one in found] == ["ccc", "bb"]


def test_scores_come_back_in_input_order_and_a_query_is_asked_once() -> None:
    scorer = ByLength()
    pairs = [("q", "aa"), ("qqq", "a"), ("q", "a"), ("q", ""), ("q", "aa")]
    assert RerankCrossEncoder(scorer).score(pairs) == [3.0, 4.0, 2.0, -math.inf, 3.0]
    assert scorer.asked == ["q", "qqq"]
    assert RerankCrossEncoder(scorer).score([]) == []


def test_it_takes_what_names_a_scorer() -> None:
    assert RerankCrossEncoder("bundled").scorer.name == "nvrerank-bundled"
    other: Any = 3
    with pytest.raises(TypeError, match="a scorer is a string, a mapping or a Scorer"):
        RerankCrossEncoder(other)


def test_a_failure_is_the_scorer_s_error() -> None:
    with pytest.raises(ServiceUnavailableError):
        RerankCrossEncoder(ByLength()).score([("down", "a")])
