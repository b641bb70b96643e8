"""What comes back from `compress_documents` and `acompress_documents`."""

import asyncio
import copy
import math
import sqlite3
import sys
import warnings
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import pytest
from langchain_core.documents import Document
from pydantic import PrivateAttr

from langchain_nvrerank import NVIDIARerank
from nvrerank import PassthroughWarning, Scorer, ServiceUnavailableError

Compress = Callable[..., list[Document]]


class ByLength(Scorer):
    """The longer, the better; the logit is the number of characters less 10."""

    def __init__(self) -> None:
        self.calls = 0

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        self.calls += 1
        return [len(passage) - 10.0 for passage in passages]


class Down(Scorer):
    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        raise ServiceUnavailableError("down for a while")


class Chapter(Document):
    """A document class of a user's own."""

    number: int = 0
    _lock: Any = PrivateAttr(None)


def documents(*texts: str) -> list[Document]:
    return [Document(text, id=str(place), metadata={"place": place}) for place, text in enumerate(texts)]


def texts(found: Sequence[Document]) -> list[str]:
    return [document.page_content for document in found]


def test_documents_come_back_best_first_with_a_python_float(compress: Compress) -> None:
    found = compress(NVIDIARerank(scorer=ByLength()), documents("a", "ccc", "bb"), "q")
    assert texts(found) == ["ccc", "bb", "a"]
    assert [document.metadata["relevance_score"] for document in found] == [-7.0, -8.0, -9.0]
    assert {type(document.metadata["relevance_score"]) for document in found} == {float}


@pytest.mark.parametrize(
    ("count", "top_n", "kept"),
    [(7, 7, 7), (17, 7, 7), (3, 13, 3), (1, 1, 1), (1, 10, 1), (10, 1, 1), (10, None, 10), (10, 0, 0)],
)
def test_top_n_of_the_sorted_documents_stay(
    compress: Compress, count: int, top_n: int | None, kept: int
) -> None:
    candidates = documents(*("x" * (1 + 7 * place % 31) for place in range(count)))
    found = compress(NVIDIARerank(scorer=ByLength(), top_n=top_n), candidates, "q")
    assert texts(found) == sorted(texts(candidates), key=len, reverse=True)[:kept]


def test_five_stay_unless_told_otherwise(compress: Compress) -> None:
    assert len(compress(NVIDIARerank(scorer=ByLength()), documents(*"abcdefgh"), "q")) == 5


def test_threshold_and_mode_are_applied(compress: Compress) -> None:
    reranker = NVIDIARerank(scorer=ByLength(), score_mode="sigmoid", threshold=0.5)
    found = compress(reranker, documents("x" * 9, "x" * 10, "x" * 30), "q")
    assert [document.metadata["relevance_score"] for document in found] == [pytest.approx(1), 0.5]


def test_ids_subclasses_and_metadata_are_kept(compress: Compress) -> None:
    chapter = Chapter(page_content="long text", id="c1", metadata={"page": 3, "score": 0.7}, number=4)
    (found,) = compress(NVIDIARerank(scorer=ByLength()), [chapter], "q")
    assert isinstance(found, Chapter)
    assert (found.id, found.number) == ("c1", 4)
    assert found.metadata == {"page": 3, "score": 0.7, "relevance_score": -1.0}


def test_inputs_are_never_changed_not_even_through_the_results(compress: Compress) -> None:
    candidates = [Document("a", metadata={"source": {"pages": [1]}}), Document("", metadata={"n": [2]})]
    before = copy.deepcopy(candidates)
    found = compress(NVIDIARerank(scorer=ByLength()), candidates, "q")
    found[0].metadata["source"] = "another"
    found[1].metadata.clear()
    assert candidates == before


@pytest.mark.parametrize("on_error", ["raise", "passthrough"])
@pytest.mark.parametrize(
    "handle", [Lock(), (one for one in "ab"), sqlite3.connect(":memory:"), sys.stdout], ids=type
)
def test_metadata_that_nobody_can_copy_come_back_as_they_are(
    compress: Compress, handle: object, on_error: str
) -> None:
    scorer = ByLength() if on_error == "raise" else Down()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PassthroughWarning)
        (found,) = compress(
            NVIDIARerank(scorer=scorer, on_error=on_error), [Document("a", metadata={"x": handle})], "q"
        )
    assert found.metadata["x"] is handle


def test_private_state_of_a_document_class_is_kept(compress: Compress) -> None:
    chapter = Chapter(page_content="long text")
    chapter._lock = Lock()
    (found,) = compress(NVIDIARerank(scorer=ByLength()), [chapter], "q")
    assert isinstance(found, Chapter)
    assert found._lock is chapter._lock


@pytest.mark.parametrize(("score_mode", "least"), [("logit", -math.inf), ("sigmoid", 0.0)])
def test_blank_documents_come_last_with_a_score_that_sorts_and_formats(
    compress: Compress, score_mode: Any, least: float
) -> None:
    reranker = NVIDIARerank(scorer=ByLength(), score_mode=score_mode)
    found = compress(reranker, documents("", "a", " \n"), "q")
    assert texts(found) == ["a", "", " \n"]
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores == [scores[0], least, least] == sorted(scores, reverse=True)
    assert f"{scores[1]:.3f}" in ("-inf", "0.000")
    assert compress(reranker, found, "q")[1] == found[1].model_copy(
        update={"metadata": {**found[1].metadata, **({"retrieval_score": 0.0} if least == 0 else {})}}
    )


def test_documents_that_are_all_blank_have_the_same_score(compress: Compress) -> None:
    (found,) = compress(NVIDIARerank(scorer=Down()), [Document(" ", metadata={"relevance_score": 0.9})], "q")
    assert found.metadata == {"retrieval_score": 0.9, "relevance_score": -math.inf}


def test_a_score_that_documents_came_with_is_kept_beside_the_new_one(compress: Compress) -> None:
    candidates = [Document(text, metadata={"relevance_score": 0.9}) for text in ("a", "")]
    found = compress(NVIDIARerank(scorer=ByLength()), candidates, "q")
    assert [document.metadata for document in found] == [
        {"retrieval_score": 0.9, "relevance_score": -9.0},
        {"retrieval_score": 0.9, "relevance_score": -math.inf},
    ]


def test_the_retrieval_score_survives_a_second_reranking(compress: Compress) -> None:
    reranker = NVIDIARerank(scorer=ByLength())
    once = compress(reranker, [Document("a", metadata={"relevance_score": 0.9})], "q")
    assert compress(reranker, once, "q") == once


def test_no_documents_ask_no_scorer(compress: Compress) -> None:
    scorer = ByLength()
    assert compress(NVIDIARerank(scorer=scorer), [], "q") == []
    assert scorer.calls == 0


def test_a_generator_and_a_tuple_of_documents_are_read_once(compress: Compress) -> None:
    reranker = NVIDIARerank(scorer=ByLength())
    assert texts(compress(reranker, (one for one in documents("a", "bb")), "q")) == ["bb", "a"]
    assert texts(compress(reranker, tuple(documents("a", "bb")), "q")) == ["bb", "a"]


def test_duplicates_odd_characters_and_long_texts_come_back_as_they_were(compress: Compress) -> None:
    odd = ["same", "same", "\ud800 half", "nul \0", "x" * 100_000]
    found = compress(NVIDIARerank(scorer=ByLength()), documents(*odd), "q")
    assert sorted(texts(found)) == sorted(odd)


def test_ten_thousand_documents_are_one_call_of_the_scorer(compress: Compress) -> None:
    scorer = ByLength()
    candidates = documents(*(str(number) for number in range(10_000)))
    assert len(compress(NVIDIARerank(scorer=scorer, top_n=None), candidates, "q")) == 10_000
    assert scorer.calls == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "documents must be a list of Document, not NoneType"),
        (7, "documents must be a list of Document, not int"),
        ("text", r"documents\[0\] must be a Document, not str"),
        ([Document("a"), b"bytes"], r"documents\[1\] must be a Document, not bytes"),
        ([None], r"documents\[0\] must be a Document, not NoneType"),
    ],
)
def test_what_are_not_documents_is_named(compress: Compress, wrong: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        compress(NVIDIARerank(scorer=ByLength()), wrong, "q")


@pytest.mark.parametrize("query", ["", " \n"])
def test_a_blank_query_is_an_error_even_without_documents(compress: Compress, query: str) -> None:
    for candidates in ([], documents("a")):
        with pytest.raises(ValueError, match="query is blank"):
            compress(NVIDIARerank(scorer=ByLength()), candidates, query)


@pytest.mark.parametrize("query", [None, b"q", 7])
def test_a_query_that_is_no_text_is_an_error(compress: Compress, query: Any) -> None:
    with pytest.raises(TypeError, match="query must be a str"):
        compress(NVIDIARerank(scorer=ByLength()), documents("a"), query)


def test_an_error_of_the_scorer_is_raised_as_it_is(compress: Compress) -> None:
    with pytest.raises(ServiceUnavailableError, match="down for a while"):
        compress(NVIDIARerank(scorer=Down()), documents("a"), "q")


def test_passthrough_keeps_the_retrieval_order_and_its_scores(compress: Compress) -> None:
    candidates = [Document(text, metadata={"relevance_score": 0.9}) for text in ("a", "bb", "ccc")]
    reranker = NVIDIARerank(scorer=Down(), on_error="passthrough", top_n=2)
    with pytest.warns(PassthroughWarning, match="down for a while"):
        found = compress(reranker, candidates, "q")
    assert found == candidates[:2]
    assert found[0] is not candidates[0]


def test_after_a_passthrough_a_score_that_was_not_there_is_none(compress: Compress) -> None:
    reranker = NVIDIARerank(scorer=Down(), on_error="passthrough")
    with pytest.warns(PassthroughWarning):
        found = compress(reranker, documents("a", ""), "q")
    assert [document.metadata for document in found] == [
        {"place": 0, "relevance_score": None},
        {"place": 1, "relevance_score": None},
    ]
    (again,) = compress(NVIDIARerank(scorer=ByLength()), found[:1], "q")
    assert again.metadata == {"place": 0, "relevance_score": -9.0}


@pytest.fixture(params=["sync", "async"])
def places(request: pytest.FixtureRequest) -> Callable[..., list[dict[str, Any]]]:
    def placed(reranker: NVIDIARerank, *arguments: Any, **named: Any) -> list[dict[str, Any]]:
        if request.param == "sync":
            return reranker.rerank(*arguments, **named)
        return asyncio.run(reranker.arerank(*arguments, **named))

    return placed


def test_texts_come_back_as_places_and_scores(places: Callable[..., list[dict[str, Any]]]) -> None:
    reranker = NVIDIARerank(scorer=ByLength(), top_n=2)
    assert places(reranker, ["a", "ccc", Document("bb", metadata={"index": 7})], "q") == [
        {"index": 1, "relevance_score": -7.0},
        {"index": 2, "relevance_score": -8.0},
    ]
    assert places(reranker, ["a", " "], "q")[1] == {"index": 1, "relevance_score": -math.inf}
    assert [one["index"] for one in places(reranker, ["a", "ccc", "bb"], "q", top_n=None)] == [1, 2, 0]
    assert places(reranker, [], "q") == []


@pytest.mark.parametrize("wrong", ["abc", [1], 3])
def test_what_is_neither_texts_nor_documents_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="documents"):
        NVIDIARerank(scorer=ByLength()).rerank(wrong, "q")


@pytest.mark.parametrize(("top_n", "count"), [(0, 0), (1, 1), (9, 3), (None, 3)])
def test_a_call_may_say_how_many(compress: Compress, top_n: int | None, count: int) -> None:
    reranker = NVIDIARerank(scorer=ByLength(), top_n=2)
    assert len(compress(reranker, documents("a", "ccc", "bb"), "q", top_n=top_n)) == count
    assert len(compress(reranker, documents("a", "ccc", "bb"), "q")) == 2
    with pytest.raises(ValueError, match="top_n must be"):
        compress(reranker, documents("a"), "q", top_n=-1)
