"""What comes back belongs to what was sent: protocols, batches, models, usage."""

import httpx
import pytest
from fake_nim import steps, truth

from nvrerank import RequestRejectedError, arerank, rerank
from nvrerank.hosted import Usage

PASSAGES = [f"passage {number}" for number in range(100)]


def expected(query, passages):
    return [truth(query, passage) for passage in passages]


@pytest.mark.parametrize("protocol", ["nim", "cohere", "tei"])
def test_scores_come_back_in_input_order(nim, hosted, score, protocol):
    assert score(hosted(nim(), protocol=protocol), "q", PASSAGES) == expected("q", PASSAGES)


BODIES = {
    "nim": {
        "model": "fake/reranker",
        "query": {"text": "q"},
        "passages": [{"text": "ä\u2028\x00"}, {"text": "b"}],
        "truncate": "END",
    },
    "cohere": {
        "model": "fake/reranker",
        "query": "q",
        "documents": ["ä\u2028\x00", "b"],
        "use_activation": False,
        "activation": False,
        "raw_scores": True,
        "truncate_prompt_tokens": -1,
    },
    "tei": {
        "query": "q",
        "texts": ["ä\u2028\x00", "b"],
        "raw_scores": True,
        "truncate": True,
        "truncation_direction": "Right",
    },
}


@pytest.mark.parametrize(("protocol", "body"), BODIES.items())
def test_each_protocol_has_its_body(nim, hosted, score, protocol, body):
    server = nim()
    score(hosted(server, protocol=protocol), "q", ["ä\u2028\x00", "b"])
    assert server.seen[0].json == body
    assert server.seen[0].path == f"/v1/{'ranking' if protocol == 'nim' else 'rerank'}"
    assert server.seen[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize(("truncate", "sent"), [("END", "END"), ("NONE", "NONE"), (None, None)])
def test_truncate_is_sent_as_it_was_given(nim, hosted, score, truncate, sent):
    server = nim()
    score(hosted(server, truncate=truncate), "q", ["a"])
    assert server.seen[0].json.get("truncate") == sent
    scorer = hosted(server, truncate=truncate, protocol="tei")
    score(scorer, "q", ["a"])
    assert server.seen[1].json.get("truncate") == {"END": True, "NONE": False, None: None}[truncate]


@pytest.mark.parametrize(
    ("options", "sent"),
    [({}, -1), ({"truncate": "END"}, -1), ({"long_passages": "truncate"}, -1), ({"truncate": None}, None)],
)
def test_cohere_s_protocol_asks_vllm_to_cut(nim, hosted, score, options, sent):
    server = nim()
    score(hosted(server, protocol="cohere", **options), "q", ["a"])
    assert server.seen[0].json.get("truncate_prompt_tokens") == sent


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, [100]),
        ({"max_batch_size": 7}, [2] + [7] * 14),
        ({"max_batch_size": 1}, [1] * 100),
        ({"protocol": "tei"}, [4, 32, 32, 32]),
        ({"protocol": "tei", "max_batch_size": 50}, [50, 50]),
    ],
)
def test_batches_are_merged_in_input_order(nim, hosted, score, options, sizes):
    server = nim()
    assert score(hosted(server, **options), "q", PASSAGES) == expected("q", PASSAGES)
    assert sorted(len(seen.pair[1]) for seen in server.seen) == sizes


def test_a_request_holds_512_passages_and_4_5_megabytes(nim, hosted, score):
    server = nim()
    passages = [f"{number} " + "ü" * (700_000 if number < 8 else 10) for number in range(1200)]
    assert score(hosted(server, timeout=30), "q", passages) == expected("q", passages)
    assert len(server.seen) == 5
    assert all(len(seen.pair[1]) <= 512 and len(seen.body) <= 4_500_000 for seen in server.seen)


def test_a_server_of_ones_own_may_be_sent_a_longer_passage(nim, hosted, score):
    passages = ["short", "x" * 5_000_000, "y"]
    assert score(hosted(nim(), timeout=30), "q", passages) == expected("q", passages)


def test_no_passages_are_no_request(nim, hosted, score):
    server = nim()
    assert score(hosted(server), "q", []) == []
    assert not server.accepted


@pytest.mark.parametrize(
    ("query", "passages", "error"),
    [
        (" ", ["a"], ValueError),
        ("q", ["a", "\n"], ValueError),
        ("q", "a string", TypeError),
        (7, ["a"], TypeError),
        ("q", [None], TypeError),
    ],
)
def test_what_can_not_be_scored_is_refused_unsent(nim, hosted, score, query, passages, error):
    server = nim()
    with pytest.raises(error):
        score(hosted(server), query, passages)
    assert not server.accepted


def test_lone_surrogates_are_replaced(nim, hosted, score):
    server = nim()
    assert score(hosted(server), "q\ud800", ["a\udfff"]) == expected("q\ufffd", ["a\ufffd"])


def test_a_chunked_reply_is_read_whole(nim, hosted, score):
    assert score(hosted(nim(steps.chunked(11))), "q", PASSAGES) == expected("q", PASSAGES)


async def test_rerank_sorts_over_all_batches(nim, hosted):
    scorer = hosted(nim(), max_batch_size=9)
    best = sorted(range(100), key=lambda index: -truth("q", PASSAGES[index]))
    assert [one.index for one in rerank(scorer, "q", PASSAGES, top_n=7)] == best[:7]
    assert [one.index for one in await arerank(scorer, "q", PASSAGES, top_n=7)] == best[:7]
    await scorer.aclose()


@pytest.mark.parametrize(("batch", "top_n"), [(7, 7), (17, 7), (3, 13), (1, 1), (1, 10), (10, 1)])
def test_any_batch_and_any_top_n_give_the_best_in_order(nim, hosted, batch, top_n):
    ranked = rerank(hosted(nim(), max_batch_size=batch), "q", PASSAGES[:12], top_n=top_n)
    scores = sorted(expected("q", PASSAGES[:12]), reverse=True)
    assert [one.score for one in ranked] == scores[:top_n]


def test_calls_share_connections(nim, hosted):
    server = nim()
    scorer = hosted(server)
    for _ in range(10):
        scorer.score("q", ["a"])
    assert server.accepted == 1


async def test_asynchronous_calls_share_connections(nim, hosted):
    server = nim()
    async with hosted(server) as scorer:
        for _ in range(10):
            await scorer.ascore("q", ["a"])
    assert server.accepted == 1


def test_several_requests_are_under_way_at_once_and_no_more_than_allowed(nim, hosted, score):
    server = nim(default=steps.rank(0.05))
    assert score(hosted(server, max_batch_size=5, max_concurrency=4), "q", PASSAGES) == expected(
        "q", PASSAGES
    )
    assert server.most_in_flight == 4


MODELS = [{"id": "lora", "root": "base"}, {"id": "base", "root": "base"}]


def test_without_a_name_the_base_model_is_asked_for_once(nim, hosted, ask):
    server = nim(models=MODELS)
    scorer = hosted(server, model=None)
    with pytest.warns(UserWarning, match=f"using 'base', which {server.host} lists first"):
        assert ask(scorer, "score", "q", ["a"]) == expected("q", ["a"])
    ask(scorer, "score", "q", ["b"])
    assert (server.asked, scorer.name) == (["/v1/models"], "base")
    assert [seen.json["model"] for seen in server.seen] == ["base", "base"]


def test_tei_needs_no_name(nim, hosted, score):
    server = nim()
    assert score(hosted(server, model=None, protocol="tei"), "q", ["a"]) == expected("q", ["a"])
    assert server.asked == []


def test_a_server_without_models_is_said_to_have_none(nim, hosted, score):
    with pytest.raises(RequestRejectedError, match="lists no model: name one"):
        score(hosted(nim(models=[]), model=None), "q", ["a"])


def test_the_models_served_are_listed(nim, hosted, ask):
    server = nim(models=MODELS)
    assert ask(hosted(server), "models") == ["base", "lora"]
    assert ask(hosted(server, protocol="tei"), "models") == ["fake/tei"]
    assert server.asked == ["/v1/models", "/info"]


def test_the_hosted_models_are_those_we_know(hosted, ask):
    scorer = hosted(api_key="nvapi-x", transport=httpx.MockTransport(None))
    assert "nvidia/llama-nemotron-rerank-1b-v2" in ask(scorer, "models")
    assert "nvidia/llama-3.2-nv-rerankqa-1b-v2" not in ask(scorer, "models")


@pytest.mark.parametrize(("status", "ready"), [(200, True), (503, False), (404, False), (401, False)])
def test_a_server_is_ready_when_it_says_so(nim, hosted, ask, status, ready):
    server = nim(ready=status)
    assert ask(hosted(server), "ready") is ready
    assert server.asked == ["/v1/health/ready"]


def test_a_server_that_is_not_there_is_not_ready(hosted, ask):
    assert ask(hosted(model="m", base_url="http://127.0.0.1:1/v1"), "ready") is False


def test_nvidias_host_does_not_tell_its_health(hosted, ask):
    with pytest.raises(ValueError, match="server of your own"):
        ask(hosted(api_key="nvapi-x"), "ready")


def test_what_calls_cost_can_be_read(nim, hosted, score):
    scorer = hosted(nim(), max_batch_size=40)
    score(scorer, "q", PASSAGES)
    score(scorer, "q", ["one two three"])
    assert scorer.usage == (Usage(100, 3, 200, 200), Usage(1, 1, 3, 3))


def test_what_is_not_told_is_not_made_up(nim, hosted, score):
    scorer = hosted(nim(), protocol="cohere")
    score(scorer, "q", ["a"])
    assert scorer.usage == (Usage(1, 1, None, None),)


def test_the_last_hundred_calls_are_remembered(nim, hosted):
    scorer = hosted(nim())
    for number in range(105):
        scorer.score("q", ["a"] * 2 if number == 104 else ["a"])
    assert (len(scorer.usage), scorer.usage[-1].passages) == (100, 2)


def test_what_is_closed_can_not_be_used(nim, hosted, ask):
    scorer = hosted(nim())
    scorer.score("q", ["a"])
    scorer.close()
    scorer.close()
    for call in (("score", "q", ["a"]), ("models",), ("ready",)):
        with pytest.raises(RuntimeError, match="closed: make a new one"):
            ask(scorer, *call)


def test_a_context_manager_closes(nim, hosted):
    server = nim()
    with hosted(server) as scorer:
        scorer.score("q", ["a"])
    assert server.idle()


async def test_an_asynchronous_context_manager_closes(nim, hosted):
    server = nim()
    async with hosted(server) as scorer:
        await scorer.ascore("q", ["a"])
        scorer.score("q", ["a"])
    assert server.idle()


def test_a_transport_of_ones_own_is_used_in_both_ways(hosted, score):
    reply = {"rankings": [{"index": 1, "logit": 2}, {"index": 0, "logit": 1}]}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=reply))
    assert score(hosted(model="m", base_url="http://h/v1", transport=transport), "q", ["a", "b"]) == [1, 2]
