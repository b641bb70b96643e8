"""A listwise scorer gets its whole list in one call, whoever stands between it and the caller."""

from __future__ import annotations

import asyncio
import json
import warnings

import httpx
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
    RequestRejectedError,
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
    "cascade": lambda scorer: Cascade(LocalScorer(device="cpu", dtype="float32"), scorer, keep=9),
    "fallback": lambda scorer: Fallback(scorer, LocalScorer(device="cpu", dtype="float32")),
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
    Fallback(inner, LocalScorer(device="cpu", dtype="float32")).score_many([("q", WHOLE), ("r", WHOLE[:2])])
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


SERVED = "jinaai/jina-reranker-v3"


def answered(asked):
    """A server's replies, which note how many passages each request had."""

    def reply(request):
        documents = json.loads(request.content)["documents"] if request.content else None
        if documents is None:
            return httpx.Response(200, json={"data": [{"id": SERVED}]})
        asked.append(len(documents))
        results = [{"index": place, "relevance_score": 0.5} for place in range(len(documents))]
        return httpx.Response(200, json={"results": results})

    return httpx.MockTransport(reply)


@pytest.mark.parametrize("model", [SERVED, None])
@pytest.mark.parametrize("ask", [rerank, lambda *given: asyncio.run(arerank(*given))], ids=["sync", "async"])
def test_a_hosted_list_goes_in_one_request(model, ask):
    asked = []
    scorer = HostedScorer(model, base_url="http://h/rerank", transport=answered(asked))
    with scorer, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "no model was named")
        ask(scorer, "q", [f"passage {number}" for number in range(500)])
        ask(scorer, "q", [f"{number} {'word ' * 30_000}" for number in range(60)])
    assert asked == [500, 60]


def test_a_hosted_list_that_is_longer_than_the_server_takes_is_refused_before_it_is_sent():
    asked = []
    passages = [f"passage {number}" for number in range(9)]
    with HostedScorer(
        SERVED, base_url="http://h/rerank", transport=answered(asked), max_batch_size=8
    ) as scorer:
        with pytest.raises(RequestRejectedError, match=r"9 passages are too many .*max_batch_size=8"):
            rerank(scorer, "q", passages)
        rerank(scorer, "q", passages[:8])
        rerank(Cascade(LocalScorer(device="cpu", dtype="float32"), scorer, keep=8), "q", passages)
    with HostedScorer(
        "another", base_url="http://h/rerank", transport=answered(asked), max_batch_size=8
    ) as scorer:
        rerank(scorer, "q", passages)
    assert asked == [8, 8, 8, 1]


def test_a_known_listwise_model_has_no_bound_of_ours():
    asked = []
    with HostedScorer(SERVED, base_url="http://h/rerank", transport=answered(asked)) as scorer:
        rerank(scorer, "q", [f"passage {number}" for number in range(600)])
    assert asked == [600]
