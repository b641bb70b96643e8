"""A listwise scorer gets its whole list in one call, whoever stands between it and the caller."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, TextNode

import langchain_nvrerank
import llamaindex_nvrerank
from nvrerank import (
    Cached,
    Cascade,
    Fallback,
    HostedScorer,
    Limited,
    LocalScorer,
    Scorer,
    Windowed,
    arerank,
    rerank,
)
from nvrerank.server import ServerSettings
from nvrerank.server.service import Service

PASSAGES = ["short", "a longer passage", "", "the longest passage of all", "short"]
WHOLE = ["short", "a longer passage", "the longest passage of all"]


class Share(Scorer):
    """A passage's share of its list's characters; notes each list."""

    listwise = True

    def __init__(self):
        self.lists = []

    @property
    def identity(self):
        return {"name": "share"}

    def _score(self, query, passages):
        self.lists.append(list(passages))
        return [len(passage) / sum(map(len, passages)) for passage in passages]


def langchain(scorer):
    reranker = langchain_nvrerank.NVIDIARerank(scorer=scorer, top_n=None)
    reranker.compress_documents([Document(text) for text in PASSAGES], "q")


def llamaindex(scorer):
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in PASSAGES]
    llamaindex_nvrerank.NVIDIARerank(scorer=scorer, top_n=None).postprocess_nodes(nodes, query_str="q")


def served(scorer):
    packed = Service(scorer, ServerSettings()).scorer
    rerank(packed, "q", PASSAGES)
    assert packed.listwise
    packed.close()


CALLERS = {
    "rerank": lambda scorer: rerank(scorer, "q", PASSAGES),
    "arerank": lambda scorer: asyncio.run(arerank(scorer, "q", PASSAGES)),
    "langchain": langchain,
    "llamaindex": llamaindex,
    "server": served,
}
AROUND = {
    "itself": lambda scorer: scorer,
    "windowed": lambda scorer: Windowed(scorer, size=50),
    "cascade": lambda scorer: Cascade(LocalScorer(device="cpu"), scorer, keep=9),
    "fallback": lambda scorer: Fallback(scorer, LocalScorer(device="cpu")),
    "limited": lambda scorer: Limited(scorer, max_concurrency=1),
}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("kind", AROUND)
def test_the_whole_list_goes_in_one_call_without_blanks_and_duplicates(caller, kind):
    inner = Share()
    scorer = AROUND[kind](inner)
    assert scorer.listwise
    CALLERS[caller](scorer)
    assert inner.lists == [WHOLE]


def test_two_queries_are_two_lists():
    inner = Share()
    Fallback(inner, LocalScorer(device="cpu")).score_many([("q", WHOLE), ("r", WHOLE[:2])])
    assert inner.lists == [WHOLE, WHOLE[:2]]


def test_its_scores_are_not_kept():
    for scorer in (
        Share(),
        Windowed(Share(), size=50),
        HostedScorer("jina-reranker-v3", base_url="http://h/rerank"),
    ):
        with pytest.raises(TypeError, match="depends on the other passages"):
            Cached(scorer)
    Cached(HostedScorer("jina-reranker-v2-base-multilingual", base_url="http://h/rerank"))
