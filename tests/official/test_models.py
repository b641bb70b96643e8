"""Which model is asked, and which ones there are."""

import httpx
import pytest
from fake_nim import truth

from nvrerank import MODELS, HostedScorer, Scorer

KEY = "nvapi-0123456789abcdefghij"
LISTED = [
    {"id": "tuned/lora", "root": "fake/base"},
    {"id": "fake/base", "root": "fake/base"},
    {"id": "nvidia/llama-nemotron-rerank-vl-1b-v2"},
]


class Plain(Scorer):
    name = "plain"

    def score(self, query, passages):
        return [0.0] * len(passages)


def test_without_a_name_the_server_is_asked_once_and_a_warning_names_the_base_model(nim, make, rank):
    server = nim(models=LISTED)
    reranker = make(base_url=server.url)
    assert server.asked == []
    with pytest.warns(UserWarning, match="using 'fake/base'"):
        rank(reranker, "q", ["a"])
    assert rank(reranker, "q", ["b"]) == [("b", truth("q", "b"))]
    assert server.asked == ["/v1/models"]
    assert {seen.json["model"] for seen in server.seen} == {"fake/base"}


def test_with_a_name_the_server_is_never_asked(nim, make, rank):
    server = nim(models=[])
    rank(make(model="m", base_url=server.url), "q", ["a"])
    assert server.asked == []


def test_available_models_are_what_a_server_lists_asked_once(nim, make):
    server = nim(models=LISTED)
    reranker = make(model="m", base_url=server.url)
    assert [model.id for model in reranker.available_models] == [
        "fake/base",
        "nvidia/llama-nemotron-rerank-vl-1b-v2",
        "tuned/lora",
    ]
    assert [model.model_type for model in reranker.available_models] == ["ranking", "ranking-vlm", "ranking"]
    assert server.asked == ["/v1/models"]
    with reranker.model_copy(update={"base_url": nim(models=[{"id": "other"}]).url}) as twin:
        assert [model.id for model in twin.available_models] == ["other"]


def test_available_models_of_nvidia_are_those_we_know_and_ask_nobody(make):
    found = make(api_key=KEY).available_models
    assert {model.id for model in found} == {one.id for one in MODELS if one.hosted and not one.retired}
    assert {model.client for model in found} == {"NVIDIARerank"}
    legacy = next(model for model in found if model.id == "nv-rerank-qa-mistral-4b:1")
    assert legacy.aliases == ("ai-rerank-qa-mistral-4b",)


def test_get_available_models_needs_no_key_for_nvidias_and_leaves_nothing_open(nim, framework):
    ids = [model.id for model in framework.ours.get_available_models()]
    assert ids == [model.id for model in framework.ours.get_available_models(api_key=KEY)]
    assert "nvidia/llama-nemotron-rerank-1b-v2" in ids
    server = nim(models=[{"id": "own"}])
    found = framework.ours.get_available_models(base_url=server.url)
    assert [model.id for model in found] == ["own"]
    assert server.idle()


def test_a_listing_that_is_changed_changes_nothing(make):
    reranker = make(api_key=KEY)
    reranker.available_models.clear()
    assert reranker.available_models


def test_a_scorer_that_lists_no_models_is_listed_itself(make):
    assert [model.id for model in make(scorer=Plain()).available_models] == ["plain"]


def test_the_url_of_a_hosted_model_that_nobody_knows_follows_from_its_name(make):
    shown = repr(make(model="somebody/new-4.1", api_key=KEY).scorer)
    assert "https://ai.api.nvidia.com/v1/retrieval/somebody/new-4_1/reranking" in shown


def test_the_hosted_id_of_an_alias_is_the_models_name(make):
    reranker = make(model="nvidia/llama-3_2-nemoretriever-500m-rerank-v2", api_key=KEY)
    assert reranker.model == "nvidia/llama-nemotron-rerank-500m-v2"


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("meta/llama3-8b-instruct", "a chat model"),
        ("deepseek-ai/deepseek-r1", "a chat model"),
        ("nvidia/nv-embedqa-e5-v5", "an embedding model"),
        ("baai/bge-m3", "an embedding model"),
    ],
)
@pytest.mark.parametrize("base_url", [None, "https://integrate.api.nvidia.com/v1"])
def test_the_name_of_a_model_that_does_not_rank_is_warned_of(make, model, kind, base_url):
    with pytest.warns(UserWarning, match=f"{model} is incompatible .* {kind}"):
        reranker = make(model=model, base_url=base_url, api_key=KEY)
    ranks = reranker.model_copy(update={"model": "nvidia/llama-nemotron-rerank-1b-v2"})
    with pytest.warns(UserWarning, match="incompatible") as told:
        ranks.model_copy(update={"model": model})
    assert told[0].filename == __file__


def test_an_embedding_models_name_that_makes_no_url_is_warned_of_and_refused(make):
    with pytest.warns(UserWarning, match="an embedding model"), pytest.raises(ValueError, match="base_url"):
        make(model="NV-Embed-QA", api_key=KEY)


@pytest.mark.parametrize(
    "model", [one.id for one in MODELS if one.hosted] + ["nvdev/meta/llama-3.1-8b-instruct"]
)
def test_no_reranker_and_no_private_name_is_warned_of(make, model):
    if not model.startswith("nvdev/"):
        make(model=model, api_key=KEY)
    for private in (model, "meta/llama3-8b-instruct", "acme/ours", "acme/chat-embed"):
        make(model=private, base_url="http://127.0.0.1:1/v1")


def test_a_202_is_polled_with_the_key(make, rank):
    asked = []

    def answer(request):
        asked.append((request.method, request.url.host, request.headers["authorization"]))
        if request.method == "POST":
            return httpx.Response(202, headers={"NVCF-REQID": "0f-9a"})
        return httpx.Response(200, json={"rankings": [{"index": 0, "logit": 1.0}]})

    with HostedScorer("nvidia/new", api_key=KEY, transport=httpx.MockTransport(answer)) as scorer:
        assert rank(make(scorer=scorer), "q", ["a"]) == [("a", 1.0)]
    assert asked == [
        ("POST", "ai.api.nvidia.com", f"Bearer {KEY}"),
        ("GET", "api.nvcf.nvidia.com", f"Bearer {KEY}"),
    ]


def test_closing_an_adapter_closes_its_own_scorer_only(nim, make, rank):
    server = nim()
    mine = HostedScorer("m", base_url=server.url)
    with mine, make(scorer=mine) as lent:
        lent.close()
        rank(lent, "q", ["a"])
    own = make(model="m", base_url=server.url)
    with own:
        rank(own, "q", ["a"])
    assert server.idle()
    with pytest.raises(RuntimeError, match="closed"):
        rank(own, "q", ["a"])


async def test_an_adapter_is_an_asynchronous_context_manager(nim, make, framework):
    server = nim()
    async with make(model="m", base_url=server.url) as reranker:
        assert await framework.arank(reranker, "q", ["a"])
    assert server.idle()


def test_an_adapter_that_is_dropped_leaves_no_connection(nim, rank, framework):
    server = nim()
    reranker = framework.ours(model="m", base_url=server.url)
    rank(reranker, "q", ["a"])
    del reranker
    assert server.idle()
