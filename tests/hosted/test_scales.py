"""Servers of Cohere's shape, as their makers document them: what is asked, and what their scores are."""

from __future__ import annotations

import json
import math
import pickle

import httpx
import pytest

from nvrerank import BadResponseError, HostedScorer, RequestRejectedError, rerank
from nvrerank.hosted import Usage

LOGITS = {"a": 2.0, "b": -3.0, "c": 0.5}
SIGMOIDS = {text: 1 / (1 + math.exp(-logit)) for text, logit in LOGITS.items()}
PASSAGES = list(LOGITS)


def results(body, scores, key="relevance_score"):
    """Best first, as all of them answer."""
    items = [{"index": index, key: scores[text]} for index, text in enumerate(body["documents"])]
    return sorted(items, key=lambda item: -item[key])


def asked(name, value):
    """A server that gives logits if a member of the body says so."""
    return lambda body: {"results": results(body, LOGITS if body.get(name) is value else SIGMOIDS)}


LOGIT_SERVERS = {
    "vLLM": asked("use_activation", False),
    "vLLM 0.9 and 0.10": asked("activation", False),
    "infinity": asked("raw_scores", True),
    "llama.cpp": lambda body: {"results": results(body, LOGITS)},
}
PROBABILITY_SERVERS = {
    "Jina, LiteLLM": lambda body: {"results": results(body, SIGMOIDS), "usage": {"total_tokens": 9}},
    "Voyage": lambda body: {"object": "list", "data": results(body, SIGMOIDS)},
    "SGLang": lambda body: results(body, SIGMOIDS, "score"),
    "Pinecone": lambda body: {"data": results(body, SIGMOIDS, "score")},
}
KNOWN = {"model", "query", "documents", "top_n", "max_tokens_per_doc"}


def cohere(request):
    """Cohere's own service: what it does not know it refuses, one member at a time."""
    body = json.loads(request.content)
    for name in (name for name in body if name not in KNOWN):
        message = f"unknown field: parameter '{name}' is not a valid field."
        return httpx.Response(422, json={"id": "x", "message": message})
    meta = {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 40, "output_tokens": 0}}
    return httpx.Response(200, json={"results": results(body, SIGMOIDS), "meta": meta})


@pytest.fixture
def serve(hosted):
    """Makes a scorer for a server that answers so; `seen` has the bodies sent."""

    def make(answer, **options):
        def handle(request):
            scorer.seen.append(json.loads(request.content))
            said = answer(request) if answer is cohere else answer(scorer.seen[-1])
            return said if isinstance(said, httpx.Response) else httpx.Response(200, json=said)

        options = {"model": "m", "base_url": "http://h/v1/rerank", "max_retries": 0} | options
        scorer = hosted(transport=httpx.MockTransport(handle), **options)
        scorer.seen = []
        return scorer

    return make


def ranked(scorer, **options):
    return [(one.index, round(one.score, 3)) for one in rerank(scorer, "q", PASSAGES, **options)]


@pytest.mark.parametrize("answer", LOGIT_SERVERS.values(), ids=LOGIT_SERVERS)
def test_logits_are_asked_for_in_every_way_and_sigmoid_is_applied(serve, answer):
    scorer = serve(answer)
    assert ranked(scorer, score_mode="sigmoid", threshold=0.5) == [(0, 0.881), (2, 0.622)]
    assert ranked(scorer) == [(0, 2.0), (2, 0.5), (1, -3.0)]
    assert scorer.scale == "logit"


@pytest.mark.parametrize("answer", PROBABILITY_SERVERS.values(), ids=PROBABILITY_SERVERS)
def test_probabilities_are_not_squashed_a_second_time(serve, answer):
    scorer = serve(answer)
    for mode in ("sigmoid", "logit"):
        assert ranked(scorer, score_mode=mode) == [(0, 0.881), (2, 0.622), (1, 0.047)]
        assert ranked(scorer, score_mode=mode, threshold=0.5) == [(0, 0.881), (2, 0.622)]
    assert scorer.scale == "probability"


def test_control_told_that_they_are_logits_they_are_squashed(serve):
    scorer = serve(PROBABILITY_SERVERS["Jina, LiteLLM"], scale="logit")
    assert ranked(scorer, score_mode="sigmoid", threshold=0.5) == [(0, 0.707), (2, 0.651), (1, 0.512)]


@pytest.mark.parametrize("batch", [1, 512])
def test_a_server_that_refuses_what_it_does_not_know_is_asked_plainly_from_then_on(serve, score, batch):
    scorer = serve(cohere, max_batch_size=batch, max_concurrency=1)
    for _ in range(2):
        assert score(scorer, "q", PASSAGES) == list(SIGMOIDS.values())
    refused, *plain = scorer.seen
    assert refused.keys() > {"use_activation", "activation", "raw_scores", "truncate_prompt_tokens"}
    assert {frozenset(body) for body in plain} == {frozenset({"model", "query", "documents"})}
    assert ranked(scorer, score_mode="sigmoid", threshold=0.5) == [(0, 0.881), (2, 0.622)]
    requests = math.ceil(3 / batch)
    assert scorer.usage[0] == Usage(3, requests, 40 * requests, 40 * requests, requests)


def test_a_refusal_of_something_else_stands(serve, score):
    scorer = serve(lambda body: httpx.Response(422, json={"detail": "the query is too long"}))
    with pytest.raises(RequestRejectedError, match="too long"):
        score(scorer, "q", PASSAGES)
    refusing = serve(cohere, extra_body={"instruction": "x", "use_activation": False})
    with pytest.raises(RequestRejectedError, match="unknown field"):
        score(refusing, "q", PASSAGES)
    assert (len(scorer.seen), len(refusing.seen)) == (1, 2)


def test_a_server_that_is_told_to_give_probabilities_is_asked_for_them(serve, score):
    scorer = serve(LOGIT_SERVERS["vLLM"], scale="probability")
    assert score(scorer, "q", PASSAGES) == list(SIGMOIDS.values())
    assert not {"use_activation", "activation", "raw_scores"} & scorer.seen[0].keys()
    assert ranked(scorer, score_mode="sigmoid", threshold=0.5) == [(0, 0.881), (2, 0.622)]
    tei = serve(lambda body: [{"index": 0, "score": 0.5}], protocol="tei", scale="probability")
    score(tei, "q", ["a"])
    assert tei.seen[0]["raw_scores"] is False


def test_what_was_proved_stays_whatever_comes_later(serve):
    scores = dict(LOGITS)
    scorer = serve(lambda body: {"results": results(body, scores)})
    assert ranked(scorer, score_mode="sigmoid")[0] == (0, 0.881)
    scores.update(a=0.9, b=0.1, c=0.5)
    assert ranked(scorer, score_mode="sigmoid") == [(0, 0.711), (2, 0.622), (1, 0.525)]


def test_a_hint_that_was_wrong_is_put_right_once_and_said(serve):
    scores = {"a": 0.9, "b": 0.1, "c": 0.5}
    scorer = serve(lambda body: {"results": results(body, scores)})
    assert ranked(scorer, score_mode="sigmoid")[0] == (0, 0.9)
    scores.update(LOGITS)
    with pytest.warns(UserWarning, match="gives logits.*say scale='logit'"):
        assert ranked(scorer, score_mode="sigmoid")[0] == (0, 0.881)
    scores.update(a=0.9)
    assert ranked(scorer, score_mode="sigmoid")[0] == (0, 0.711)


@pytest.mark.parametrize(
    "reply",
    [
        {"output": {"results": [{"index": 0, "relevance_score": 1.0}]}},
        {"results": [{"index": 0, "relevanceScore": 1.0}]},
        {"results": [{"index": 0, "relevance_score": "1.0"}]},
        {"records": [{"id": "0", "score": 1.0}]},
        {"data": [1.0]},
        "results",
    ],
)
def test_a_shape_that_nobody_documents_so_is_an_error(serve, score, reply):
    with pytest.raises(BadResponseError, match="report it"):
        score(serve(lambda body: reply), "q", ["a"])


def test_more_members_of_the_body_go_along_and_win(serve, score):
    extra = {
        "instruction": "judge like a lawyer",
        "truncate_prompt_tokens": 10,
        "chat_template_kwargs": {"x": [1]},
    }
    scorer = serve(LOGIT_SERVERS["vLLM"], extra_body=extra)
    extra["instruction"] = "changed later"
    score(scorer, "q", PASSAGES)
    sent = scorer.seen[0]
    assert (sent["instruction"], sent["truncate_prompt_tokens"]) == ("judge like a lawyer", 10)
    assert sent["use_activation"] is False
    assert "judge like a lawyer" in repr(scorer)


def test_scorers_that_ask_for_something_else_are_told_apart():
    made = [
        {},
        {"scale": "logit"},
        {"scale": "probability"},
        {"extra_body": {"a": 1}},
        {"extra_body": {"a": 2}},
    ]
    scorers = [HostedScorer("m", base_url="http://h/rerank", **options) for options in made]
    assert len({repr(scorer) for scorer in scorers}) == len(made)
    for scorer in scorers:
        assert repr(pickle.loads(pickle.dumps(scorer))) == repr(scorer)


def test_more_members_count_among_a_request_s_bytes(hosted, score):
    def answer(request):
        assert len(request.content) < 4_500_000
        items = json.loads(request.content)["passages"]
        return httpx.Response(200, json={"rankings": [{"index": i, "logit": 1.0} for i in range(len(items))]})

    options = {"api_key": "nvapi-x", "transport": httpx.MockTransport(answer)}
    scorer = hosted(model="nvidia/new", extra_body={"instruction": "x" * 2_000_000}, **options)
    assert len(score(scorer, "q", ["y" * 900_000, "z" * 900_000, "a" * 900_000])) == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"extra_body": {"model": "x"}}, ValueError, "can't set 'model': it is model="),
        ({"extra_body": {"query": "x"}}, ValueError, "can't set 'query'"),
        ({"extra_body": {"documents": []}}, ValueError, "can't set 'documents'"),
        ({"extra_body": {"top_n": 3}}, ValueError, "can't set 'top_n': rerank's top_n cuts"),
        ({"extra_body": {"truncate": "END"}, "protocol": "nim"}, ValueError, "it is truncate="),
        ({"extra_body": {"raw_scores": False}, "protocol": "tei"}, ValueError, "it is scale="),
        ({"extra_body": {"x": math.nan}}, ValueError, "what JSON can't"),
        ({"extra_body": {"x": object()}}, ValueError, "what JSON can't"),
        ({"extra_body": {"x": "\ud800"}}, ValueError, "what JSON can't"),
        ({"extra_body": {1: "x"}}, TypeError, "extra_body must be a mapping"),
        ({"extra_body": ["x"]}, TypeError, "extra_body must be a mapping"),
        ({"scale": "percent"}, ValueError, "scale must be 'logit', 'probability' or None"),
        ({"scale": "probability", "protocol": "nim"}, ValueError, "a NIM's scores are logits"),
        ({"truncate": "NONE"}, ValueError, "can't ask a server to refuse"),
        ({"long_passages": "error"}, ValueError, "can't ask a server to refuse"),
    ],
)
def test_what_can_not_be_asked_is_refused_at_construction(options, error, message):
    with pytest.raises(error, match=message):
        HostedScorer("m", **({"base_url": "http://h/rerank"} | options))


def test_an_adapter_hands_both_on():
    from langchain_nvrerank import NVIDIARerank

    extra = {"instruction": "x"}
    with NVIDIARerank(
        model="m", base_url="http://h/rerank", scale="probability", extra_body=extra
    ) as adapter:
        assert repr(adapter.scorer).endswith("scale='probability', extra_body={'instruction': 'x'})")
        assert adapter.scorer.scale == "probability"
