"""Errors say what to do, and carry what is known."""

import pickle

import httpx
import pytest
from fake_nim import steps

from nvrerank import (
    AuthenticationError,
    BadResponseError,
    DeadlineExceededError,
    HostedScorer,
    ModelRetiredError,
    NVRerankError,
    RateLimitError,
    RequestRejectedError,
    ServiceUnavailableError,
    rerank,
)

KEY = "nvapi-0123456789abcdefghij"
RETIRED = "nvidia/llama-3.2-nv-rerankqa-1b-v2"
SUCCESSOR = "nvidia/llama-nemotron-rerank-1b-v2"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRejectedError),
        (401, AuthenticationError),
        (402, AuthenticationError),
        (403, AuthenticationError),
        (404, RequestRejectedError),
        (408, ServiceUnavailableError),
        (410, ModelRetiredError),
        (413, RequestRejectedError),
        (422, RequestRejectedError),
        (429, RateLimitError),
        (500, ServiceUnavailableError),
        (501, ServiceUnavailableError),
        (503, ServiceUnavailableError),
        (302, RequestRejectedError),
        (206, BadResponseError),
    ],
)
def test_each_status_has_its_error(nim, hosted, score, status, kind):
    server = nim(default=steps.answer(status, {"detail": "because"}, nvcf_reqid="id-7"))
    with pytest.raises(NVRerankError) as caught:
        score(hosted(server, max_retries=0), "q", ["passage"])
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.request_id, error.tries) == (status, "id-7", 1)
    assert (str(status) in str(error)) is (status != 302)


def test_an_error_survives_pickling(nim, hosted):
    server = nim(default=steps.answer(422, {"detail": "because"}, x_request_id="id-7"))
    with pytest.raises(RequestRejectedError) as caught:
        hosted(server).score("q", ["passage"])
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), vars(copy)) == (str(caught.value), vars(caught.value))


TOO_LONG = "Input length 9000 exceeds maximum allowed token size 8192"
PASSAGES = [f"passage {number}" for number in range(10)]


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize(
    ("detail", "place"),
    [
        ([{"loc": ["body", "passages", 2, "text"], "msg": TOO_LONG}], 2),
        (f"passage 1: {TOO_LONG}", 1),
        (f"passages[1]: {TOO_LONG}", 1),
        (f"Passage at index 2 is too long. {TOO_LONG}", 2),
        (f"`texts[3]`: {TOO_LONG}", 3),
        (f"text: 3 lines, {TOO_LONG}", None),
        (TOO_LONG, None),
        ([{"loc": ["body", "passages", 99, "text"], "msg": TOO_LONG}], None),
        ([{"loc": "passages", "msg": TOO_LONG}, {"loc": None}], None),
    ],
)
def test_a_passage_that_is_too_long_has_the_callers_index(nim, hosted, score, status, detail, place):
    server = nim(steps.rank(), default=steps.answer(status, {"detail": detail}))
    scorer = hosted(server, truncate="NONE", max_batch_size=4, max_concurrency=1)
    with pytest.raises(RequestRejectedError, match=r"Shorten the passage.*END.*Windowed") as caught:
        score(scorer, "q", PASSAGES)
    assert caught.value.index == (None if place is None else 4 + place)
    assert str(caught.value).startswith("" if place is None else f"passages[{4 + place}]: ")
    assert [seen.json["truncate"] for seen in server.seen] == ["NONE", "NONE"]


def test_a_passage_alone_in_its_request_needs_no_index_from_the_server(nim, hosted):
    server = nim(steps.rank(), default=steps.answer(422, {"detail": TOO_LONG}))
    with pytest.raises(RequestRejectedError) as caught:
        rerank(hosted(server, max_batch_size=1, max_concurrency=1), "q", ["", "a", "a", "b"])
    assert caught.value.index == 3


def test_a_model_that_is_retired_names_its_successor(hosted, score):
    for status, body in ((410, {"title": "Gone", "detail": "end of life"}), (404, "404 page not found")):
        answer = httpx.MockTransport(
            lambda request, said=(status, body): httpx.Response(said[0], json=said[1])
        )
        scorer = hosted(model="nvidia/llama-3_2-nv-rerankqa-1b-v2", api_key=KEY, transport=answer)
        with pytest.raises(
            ModelRetiredError, match=f"{RETIRED} is no longer served: use {SUCCESSOR}"
        ) as caught:
            score(scorer, "q", ["passage"])
        assert (caught.value.successor, caught.value.status) == (SUCCESSOR, status)


def test_a_model_that_is_not_there_is_not_called_retired(nim, hosted, score):
    server = nim(default=steps.answer(404, b"404 page not found", content_type="text/plain"))
    with pytest.raises(RequestRejectedError, match="Check that fake/reranker is served there") as caught:
        score(hosted(server), "q", ["passage"])
    assert not isinstance(caught.value, ModelRetiredError)


@pytest.mark.parametrize(
    ("options", "advice"),
    [({"api_key": KEY}, "Check the key"), ({}, "It wants a key: pass api_key=")],
)
def test_a_401_says_what_is_wrong_with_the_key(nim, hosted, score, options, advice):
    server = nim(default=steps.answer(401, {"detail": "Unauthorized"}))
    with pytest.raises(AuthenticationError, match=f"401: Unauthorized. {advice}"):
        score(hosted(server, **options), "q", ["passage"])


def test_a_401_says_that_the_environments_key_was_kept_back(nim, hosted, score, monkeypatch):
    monkeypatch.setenv("NVIDIA_API_KEY", KEY)
    server = nim(default=steps.answer(401))
    with pytest.raises(AuthenticationError, match="sent to NVIDIA's own hosts only: pass api_key="):
        score(hosted(server), "q", ["passage"])
    assert "authorization" not in server.seen[0].headers


def test_an_answer_that_is_not_there_yet_is_polled_with_the_key(hosted, score):
    seen = []

    def answer(request):
        seen.append((request.method, request.url.host, request.headers.get("authorization")))
        if len(seen) < 3:
            return httpx.Response(202, headers={"NVCF-REQID": "id-7"})
        return httpx.Response(200, json={"rankings": [{"index": 0, "logit": 2.5}]})

    scorer = hosted(model=SUCCESSOR, api_key=KEY, transport=httpx.MockTransport(answer))
    assert score(scorer, "q", ["passage"]) == [2.5]
    assert seen == [
        ("POST", "ai.api.nvidia.com", f"Bearer {KEY}"),
        ("GET", "api.nvcf.nvidia.com", f"Bearer {KEY}"),
        ("GET", "api.nvcf.nvidia.com", f"Bearer {KEY}"),
    ]


def test_polling_ends_at_the_deadline(hosted, score):
    answer = httpx.MockTransport(lambda request: httpx.Response(202, headers={"NVCF-REQID": "id-7"}))
    scorer = hosted(model=SUCCESSOR, api_key=KEY, transport=answer, timeout=0.5)
    with pytest.raises(DeadlineExceededError, match=r"timeout=0\.5 s"):
        score(scorer, "q", ["passage"])


def test_no_error_of_the_transport_is_chained(nim, hosted, score):
    server = nim(default=steps.reset_at_once)
    with pytest.raises(ServiceUnavailableError) as caught:
        score(hosted(server, max_retries=0), "q", ["passage"])
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_hosted_passage_that_no_request_can_hold_is_refused_unsent(hosted, score):
    def answer(request):
        raise AssertionError("sent")

    scorer = hosted(model=SUCCESSOR, api_key=KEY, transport=httpx.MockTransport(answer))
    with pytest.raises(RequestRejectedError, match="4500000 bytes") as caught:
        score(scorer, "q", ["short", "x" * 4_500_000])
    assert caught.value.index == 1


def test_ours_are_the_only_public_types():
    assert HostedScorer.__module__.startswith("nvrerank.")
    assert issubclass(DeadlineExceededError, NVRerankError)
