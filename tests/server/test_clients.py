"""Clients that exist, unchanged, against a real server."""

import asyncio
import gc
import warnings

import cohere
import httpx
import pytest
from fake_nim import truth
from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, TextNode
from server.conftest import MODEL, Truth

import langchain_nvrerank
import llamaindex_nvrerank
from nvrerank import HostedScorer, rerank
from nvrerank.errors import AuthenticationError, RequestRejectedError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what their packages say at import is theirs
    import langchain_nvidia_ai_endpoints
    import llama_index.postprocessor.nvidia_rerank.base

QUERY = "how do I iterate?"
TEXTS = ["bananas", "a class that one can iterate", "iterate how do I"]
LOGITS = [truth(QUERY, text) for text in TEXTS]
BEST_FIRST = sorted(TEXTS, key=lambda text: -truth(QUERY, text))
KEY = "nvapi-0123456789abcdefghij"


pytestmark = pytest.mark.filterwarnings(  # others' clients leave their connections open
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def url(serving):
    yield serving(api_key=KEY).url
    gc.collect()  # here, where it is forgiven


@pytest.mark.parametrize(
    "kind", [langchain_nvidia_ai_endpoints.NVIDIARerank, langchain_nvrerank.NVIDIARerank]
)
def test_langchains_classes_rank(url, kind):
    reranker = kind(base_url=f"{url}/v1", api_key=KEY, model=MODEL, top_n=3)
    ranked = reranker.compress_documents([Document(text) for text in TEXTS], QUERY)
    assert [one.page_content for one in ranked] == BEST_FIRST
    assert ranked[0].metadata["relevance_score"] == max(LOGITS)


@pytest.mark.parametrize(
    "kind", [llama_index.postprocessor.nvidia_rerank.base.NVIDIARerank, llamaindex_nvrerank.NVIDIARerank]
)
def test_llamaindexs_classes_rank(url, kind):
    reranker = kind(base_url=f"{url}/v1", api_key=KEY, model=MODEL, top_n=3)
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    ranked = reranker.postprocess_nodes(nodes, query_str=QUERY)
    assert [one.get_content() for one in ranked] == BEST_FIRST
    assert ranked[0].score == max(LOGITS)


@pytest.mark.parametrize(
    "place", [{"base_url": "/v1"}, {"base_url": "/v1/rerank"}, {"base_url": "/rerank", "protocol": "tei"}]
)
def test_our_own_scorer_gets_the_logits_in_every_protocol(url, place):
    options = {**place, "base_url": url + place["base_url"]}
    with HostedScorer(MODEL, api_key=KEY, **options) as scorer:
        assert scorer.score(QUERY, TEXTS) == LOGITS
        assert asyncio.run(scorer.ascore(QUERY, TEXTS)) == LOGITS
        assert scorer.models() == [MODEL]
        assert scorer.ready()


def test_our_own_scorer_names_the_passage_that_is_too_long_and_the_key_that_is_wrong(url):
    with (
        HostedScorer(MODEL, api_key=KEY, base_url=f"{url}/v1", truncate="NONE") as scorer,
        pytest.raises(RequestRejectedError, match=r"passages\[1\].*Shorten the passage"),
    ):
        scorer.score("q", ["a", "long " * 40])
    with (
        HostedScorer(MODEL, api_key="nvapi-wrong", base_url=f"{url}/v1") as scorer,
        pytest.raises(AuthenticationError, match="Check the key"),
    ):
        scorer.score("q", ["a"])


def test_our_own_scorer_waits_for_a_busy_server_and_then_scores(serving):
    server = serving(max_queued_passages=512, threads=1)
    server.scorer.open.clear()
    waiting = [server.service.scorer._submit("q", ["a"])]
    assert server.scorer.entered.acquire(timeout=10)
    waiting.append(server.service.scorer._submit("q", ["a"] * 512))
    assert server.service.scorer.queue.full
    with HostedScorer(MODEL, base_url=f"{server.url}/v1") as scorer:
        asyncio.run(_score_once_open(scorer, server))
    assert all(one.result(10) for one in waiting)


async def _score_once_open(scorer, server):
    asked = asyncio.create_task(scorer.ascore("q", ["a"]))
    until = b'refusals_total{reason="busy"}'
    while until not in server.service.metrics.text():  # noqa: ASYNC110  # the server is another thread's
        await asyncio.sleep(0.01)
    server.scorer.open.set()
    assert await asked == [truth("q", "a")]


def test_a_sigmoid_of_ours_and_coheres_scores_are_the_same(url):
    client = cohere.ClientV2(api_key=KEY, base_url=url)
    theirs = client.rerank(model=MODEL, query=QUERY, documents=TEXTS, top_n=2)
    with HostedScorer(MODEL, api_key=KEY, base_url=f"{url}/v1") as scorer:
        ours = rerank(scorer, QUERY, TEXTS, score_mode="sigmoid", top_n=2)
    assert [(one.index, one.relevance_score) for one in theirs.results] == [
        (one.index, pytest.approx(one.score)) for one in ours
    ]


def test_coheres_first_client_ranks_and_reads_a_refusal(url):
    client = cohere.Client(api_key=KEY, base_url=url)
    answer = client.rerank(model=MODEL, query=QUERY, documents=TEXTS, return_documents=True)
    assert [one.document.text for one in answer.results] == BEST_FIRST
    with pytest.raises(cohere.UnprocessableEntityError, match="not served here"):
        client.rerank(model="rerank-v3.5", query=QUERY, documents=TEXTS)


def test_a_tei_client_ranks(serving):
    body = {
        "query": QUERY,
        "texts": TEXTS,
        "raw_scores": True,
        "truncate": True,
        "truncation_direction": "Right",
    }
    answer = httpx.post(f"{serving(Truth()).url}/rerank", json=body).json()
    assert [TEXTS[one["index"]] for one in answer] == BEST_FIRST
