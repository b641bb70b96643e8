"""What was cut unasked is said once for each scorer, at a line of the caller's."""

from __future__ import annotations

import asyncio
import pickle
import re
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, TextNode
from support.checkpoints import write_decoder

from nvrerank import LocalScorer, TruncationWarning, arerank, rerank

QUERY = "who wrote it?"
SHORT = "the sea belongs to the shore"
LONG = "The sea belongs to the shore. " * 30
LONG_QUERY = "who wrote the book of the dead sea? " * 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_decoder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def make(folder):
    return lambda **options: LocalScorer(folder, device="cpu", dtype="float32", max_length=64, **options)


def told(call) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [one for one in caught if one.category is TruncationWarning]


def langchain(scorer, query, passages):
    from langchain_nvrerank import NVIDIARerank

    NVIDIARerank(scorer=scorer).compress_documents(list(map(Document, passages)), query)


def llamaindex(scorer, query, passages):
    from llamaindex_nvrerank import NVIDIARerank

    nodes = [NodeWithScore(node=TextNode(text=text)) for text in passages]
    NVIDIARerank(scorer=scorer).postprocess_nodes(nodes, query_str=query)


WAYS = {
    "score": lambda scorer, *call: scorer.score(*call),
    "ascore": lambda scorer, *call: asyncio.run(scorer.ascore(*call)),
    "score_many": lambda scorer, *call: scorer.score_many([call]),
    "rerank": rerank,
    "arerank": lambda scorer, *call: asyncio.run(arerank(scorer, *call)),
    "langchain": langchain,
    "llamaindex": llamaindex,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_cut_passages_are_counted_and_the_remedy_named(make, way):
    scorer = make()
    excess = scorer.load()._model.encoder.encode(QUERY, [LONG], 64)[0].whole - 64
    [one] = told(lambda: way(scorer, QUERY, [SHORT, LONG, LONG[:-90]]))
    assert str(one.message).startswith("not read whole: 2 of 3 passages")
    assert f"up to {excess} tokens more than the 64 that are read" in str(one.message)
    assert "long_passages='windows'" in str(one.message)
    assert one.filename == __file__


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_cut_query_is_told_too(make, way):
    [one] = told(lambda: way(make(long_passages="truncate"), LONG_QUERY, [SHORT, LONG]))
    assert re.match("the query was not read to its end", str(one.message))
    assert one.filename == __file__


def test_each_is_said_once_for_each_scorer_object(make):
    first, second = make(), make()
    assert len(told(lambda: rerank(first, LONG_QUERY, [LONG]))) == 2
    assert told(lambda: rerank(first, LONG_QUERY, [LONG])) == []
    assert len(told(lambda: rerank(second, QUERY, [LONG]))) == 1
    assert len(told(lambda: rerank(second, LONG_QUERY, [LONG]))) == 1
    assert len(told(lambda: rerank(pickle.loads(pickle.dumps(first)), LONG_QUERY, [LONG]))) == 2


def test_threads_share_the_one_warning(make):
    scorer = make().load()

    def calls():
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: scorer.score(QUERY, [LONG]), range(16)))

    assert len(told(calls)) == 1


@pytest.mark.parametrize(
    "options", [{"long_passages": "truncate"}, {"truncate": "END"}, {"long_passages": "windows"}]
)
def test_nothing_is_said_to_whoever_chose(make, options):
    assert told(lambda: rerank(make(**options), QUERY, [SHORT, LONG])) == []


def test_nothing_is_said_where_nothing_was_cut(make):
    scorer = make()
    assert told(lambda: rerank(scorer, QUERY, [SHORT, "", SHORT])) == []
    assert told(lambda: scorer.score(QUERY, [])) == []
    assert len(told(lambda: rerank(scorer, QUERY, [LONG]))) == 1  # the word is still to be said


def test_a_warning_that_is_made_an_error_loses_no_later_call(make):
    scorer = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TruncationWarning):
            scorer.score(QUERY, [LONG])
        assert len(scorer.score(QUERY, [LONG])) == 1
