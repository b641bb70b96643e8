"""What the official LangChain and LlamaIndex classes get wrong, line by line, and is right here.

What is the adapters' alone (spans, retrieval scores kept) is tested with them.
"""

import asyncio
import inspect
import socket
import threading
import time

import httpx
import pytest
from fake_nim import steps, truth

from nvrerank import (
    AuthenticationError,
    BadResponseError,
    HostedScorer,
    RateLimitError,
    arerank,
    rerank,
)

PASSAGES = [f"passage {number}" for number in range(600)]
BEST = sorted(range(600), key=lambda index: -truth("q", PASSAGES[index]))


@pytest.fixture(
    params=[rerank, lambda *args, **options: asyncio.run(arerank(*args, **options))], ids=["sync", "async"]
)
def ranked(request):
    def run(*arguments, **options):
        return [one.index for one in request.param(*arguments, **options)]

    return run


def test_one_503_does_not_lose_the_call(nim, hosted, ranked):
    server = nim(steps.answer(503, b"", retry_after="0"))
    assert ranked(hosted(server), "q", PASSAGES[:20], top_n=3) == [index for index in BEST if index < 20][:3]


@pytest.mark.parametrize("batch", [1, 7, 512])
def test_the_cut_to_top_n_comes_after_a_sort_over_everything(nim, hosted, ranked, batch):
    unsorted = {"rankings": [{"index": index, "logit": truth("q", PASSAGES[index])} for index in range(20)]}
    server = nim(default=steps.answer(200, unsorted) if batch == 512 else steps.rank())
    best = [index for index in BEST if index < 20]
    assert ranked(hosted(server, max_batch_size=batch), "q", PASSAGES[:20], top_n=5) == best[:5]


@pytest.mark.parametrize("indices", [[0], [0, 0], [0, 2], [0, -1]])
def test_missing_duplicate_and_wrong_indices_are_an_error(nim, hosted, ranked, indices):
    body = {"rankings": [{"index": index, "logit": 1.0} for index in indices]}
    with pytest.raises(BadResponseError):
        ranked(hosted(nim(steps.answer(200, body))), "q", ["a", "b"])


def test_nan_is_an_error(nim, hosted, ranked):
    body = b'{"rankings": [{"index": 0, "logit": NaN}, {"index": 1, "logit": 1}]}'
    with pytest.raises(BadResponseError, match="NaN"):
        ranked(hosted(nim(steps.answer(200, body))), "q", ["a", "b"])


def test_batches_go_out_at_once(nim, hosted, ranked):
    server = nim(default=steps.rank(0.1))
    begun = time.monotonic()
    assert ranked(hosted(server, max_batch_size=32), "q", PASSAGES) == BEST
    assert time.monotonic() - begun < 19 * 0.1 / 2
    assert len(server.seen) == 19


def test_up_to_512_go_in_a_request(nim, hosted, ranked):
    server = nim()
    assert ranked(hosted(server), "q", PASSAGES) == BEST
    assert sorted(len(seen.pair[1]) for seen in server.seen) == [88, 512]


def test_there_is_one_pool_and_a_timeout(nim, hosted):
    server = nim(default=steps.rank(0.02))
    scorer = hosted(server, timeout=0.5)
    for _ in range(5):
        rerank(scorer, "q", ["a"])
    assert server.accepted == 1
    assert inspect.signature(HostedScorer).parameters["timeout"].default == 60


def test_errors_have_a_type_a_status_a_reason_and_a_request_id(nim, hosted, ranked):
    server = nim(steps.answer(401, {"title": "Unauthorized", "detail": "key expired"}, nvcf_reqid="id-7"))
    with pytest.raises(AuthenticationError) as caught:
        ranked(hosted(server), "q", ["a"])
    error = caught.value
    assert (error.status, error.reason, error.request_id) == (401, "key expired", "id-7")
    assert "401" in str(error)


def test_a_limit_that_lasts_too_long_says_how_long(nim, hosted, ranked):
    with pytest.raises(RateLimitError) as caught:
        ranked(hosted(nim(default=steps.answer(429, b"", retry_after="99"))), "q", ["a"])
    assert caught.value.retry_after == 99


def test_top_n_none_is_all_and_there_are_a_threshold_and_a_sigmoid(nim, hosted):
    scorer = hosted(nim())
    everything = rerank(scorer, "q", PASSAGES[:50], top_n=None, score_mode="sigmoid")
    assert [one.index for one in everything] == [index for index in BEST if index < 50]
    some = rerank(scorer, "q", PASSAGES[:50], threshold=0.5, score_mode="sigmoid")
    assert len(some) == sum(one.score >= 0.5 for one in everything)


def test_no_key_is_no_header(nim, hosted, ranked):
    server = nim()
    ranked(hosted(server), "q", ["a"])
    assert "authorization" not in server.seen[0].headers


def test_nobody_else_is_told(nim, hosted, ranked, monkeypatch):
    server, asked = nim(), []
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *args, ask=socket.getaddrinfo: asked.append(args[0]) or ask(*args)
    )
    ranked(hosted(server), "q", ["a"])
    assert set(asked) <= {"127.0.0.1", b"127.0.0.1"}
    assert [seen.path for seen in server.seen] == ["/v1/ranking"]
    assert server.asked == []


def test_a_constructor_asks_nobody(nim, hosted):
    server = nim()
    hosted(server, model=None)
    assert server.accepted == 0


async def test_async_is_async(nim, hosted):
    async with hosted(nim(default=steps.rank(0.05))) as scorer:
        before, begun = threading.active_count(), time.monotonic()
        calls = [asyncio.create_task(arerank(scorer, "q", ["a"])) for _ in range(8)]
        await asyncio.sleep(0.02)
        assert threading.active_count() == before
        await asyncio.gather(*calls)
        assert time.monotonic() - begun < 8 * 0.05


def test_an_unknown_hosted_model_has_a_url_of_its_own(hosted, ranked):
    asked = []

    def answer(request):
        asked.append(str(request.url))
        return httpx.Response(200, json={"rankings": [{"index": 0, "logit": 1.0}]})

    transport = httpx.MockTransport(answer)
    assert ranked(hosted(model="somebody/new-1.5", api_key="nvapi-x", transport=transport), "q", ["a"]) == [0]
    assert asked == ["https://ai.api.nvidia.com/v1/retrieval/somebody/new-1_5/reranking"]


def test_the_default_model_is_not_a_retired_one():
    from nvrerank import MODELS

    retired = [model.id for model in MODELS if model.retired]
    assert HostedScorer(api_key="nvapi-x").name not in retired
