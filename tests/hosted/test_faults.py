"""What may go wrong on the wire, byte by byte: tried again where that helps, never taken for an answer."""

import asyncio
import socket
import time

import httpx
import pytest
from fake_nim import FakeNIM, steps, truth

from nvrerank import (
    BadResponseError,
    DeadlineExceededError,
    RateLimitError,
    RequestRejectedError,
    ServiceUnavailableError,
)

PASSAGES = [f"passage {number}" for number in range(20)]
TRUTH = [truth("q", passage) for passage in PASSAGES]

HTML = b"<html><body><h1>Bad gateway</h1></body></html>"

PASSING = steps.PASSING | {
    "504 in an unknown encoding": steps.answer(504, b"\x00\x01", content_encoding="br"),
    "half of a 503": steps.raw(b"HTTP/1.1 503 X\r\ncontent-length: 100\r\n\r\nsorry"),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_passing_fault_costs_one_more_request(nim, hosted, score, fault):
    server = nim(fault)
    assert score(hosted(server), "q", PASSAGES) == TRUTH
    assert len(server.seen) == 2


def test_a_stale_connection_costs_one_more_request(nim, hosted):
    server = nim(steps.stale)
    scorer = hosted(server)
    assert [scorer.score("q", PASSAGES), scorer.score("q", PASSAGES)] == [TRUTH, TRUTH]
    assert server.accepted == 2


@pytest.mark.parametrize("step", [steps.twice, steps.twice_late])
def test_an_answer_that_nobody_asked_for_is_nobodys(nim, hosted, step):
    server = nim(step)
    scorer = hosted(server)
    assert scorer.score("q", PASSAGES) == TRUTH
    time.sleep(0.05)
    assert scorer.score("another", PASSAGES) == [truth("another", passage) for passage in PASSAGES]


@pytest.mark.parametrize("step", [steps.twice, steps.twice_late])
async def test_an_answer_that_nobody_asked_for_is_no_tasks_either(nim, hosted, step):
    server = nim(step)
    async with hosted(server) as scorer:
        assert await scorer.ascore("q", PASSAGES) == TRUTH
        await asyncio.sleep(0.05)
        assert await scorer.ascore("another", PASSAGES) == [truth("another", passage) for passage in PASSAGES]


def test_a_refused_connection_is_tried_again_and_then_reported(hosted, score):
    with FakeNIM() as server:
        url = server.url
    scorer = hosted(model="m", base_url=url, max_retries=2)
    with pytest.raises(ServiceUnavailableError, match=r"can't be reached.* after 3 tries") as caught:
        score(scorer, "q", PASSAGES)
    assert caught.value.tries == 3


@pytest.mark.parametrize(
    "error", [httpx.ConnectTimeout, httpx.ReadTimeout, httpx.ReadError, httpx.ProxyError]
)
def test_what_a_transport_of_ones_own_says_is_tried_again(hosted, score, error):
    tries = []

    def answer(request):
        tries.append(request)
        if len(tries) == 1:
            raise error("now", request=request)
        return httpx.Response(200, json={"rankings": [{"index": 0, "logit": 1.0}]})

    assert score(
        hosted(model="m", base_url="http://h/v1", transport=httpx.MockTransport(answer)), "q", ["a"]
    ) == [1.0]
    assert len(tries) == 2


def test_the_last_try_tells_what_happened(nim, hosted, score):
    said = {"detail": "queue is full"}
    server = nim(default=steps.answer(503, said, x_request_id="r-1", retry_after_ms="1"))
    with pytest.raises(ServiceUnavailableError, match="503: queue is full after 4 tries") as caught:
        score(hosted(server), "q", PASSAGES)
    error = caught.value
    assert (error.status, error.reason, error.request_id, error.tries) == (503, "queue is full", "r-1", 4)
    assert len(server.seen) == 4


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 409, 410, 413, 415, 422, 451])
def test_what_the_caller_must_mend_is_not_tried_again(nim, hosted, score, status):
    server = nim(default=steps.answer(status, {"detail": "no"}))
    with pytest.raises(RequestRejectedError) as caught:
        score(hosted(server), "q", PASSAGES)
    assert (caught.value.status, caught.value.reason, len(server.seen)) == (status, "no", 1)


def test_an_early_413_is_heard_although_the_body_was_not_read(nim, hosted, score):
    server = nim(default=steps.early_413)
    with pytest.raises(RequestRejectedError, match="lower max_batch_size") as caught:
        score(hosted(server), "q", ["word " * 400_000])
    assert (caught.value.status, len(server.seen)) == (413, 1)


BAD = {
    "HTML with 200": steps.answer(200, HTML, content_type="text/html"),
    "an empty body": steps.answer(200, b""),
    "an error object": steps.answer(200, {"error": "overloaded"}),
    "201": steps.answer(201, {"rankings": []}),
    "204": steps.raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "202, of which NVIDIA's host alone is asked again": steps.answer(202, b"", nvcf_reqid="abc"),
    "an encoding nobody asked for": steps.answer(200, b"\x0b\x02\x80", content_encoding="br"),
    "what is said to be gzip": steps.answer(200, b"{}", content_encoding="gzip"),
    "half a gzip": steps.gzipped(cut=9),
    "a gzip bomb": steps.bomb(64),
    "a flood": steps.flood(12),
}


@pytest.mark.parametrize("step", BAD.values(), ids=BAD)
def test_what_is_no_ranking_is_never_one(nim, hosted, score, step):
    server = nim(default=step)
    with pytest.raises(BadResponseError, match="report it") as caught:
        score(hosted(server), "q", PASSAGES)
    assert (len(server.seen), caught.value.tries) == (1, 1)


def test_an_error_object_with_200_is_told(nim, hosted, score):
    with pytest.raises(BadResponseError) as caught:
        score(hosted(nim(BAD["an error object"])), "q", PASSAGES)
    assert (caught.value.status, caught.value.reason) == (200, "overloaded")


def test_a_gzip_that_nobody_asked_for_is_read(nim, hosted, score):
    assert score(hosted(nim(steps.gzipped())), "q", PASSAGES) == TRUTH


def test_of_a_long_error_only_the_beginning_is_read(nim, hosted, score):
    server = nim(default=steps.flood(12, status=400))
    begun = time.monotonic()
    with pytest.raises(RequestRejectedError):
        score(hosted(server), "q", PASSAGES)
    assert time.monotonic() - begun < 2


def test_a_redirect_is_an_error_that_names_its_target(nim, hosted, score):
    target = nim()
    server = nim(default=steps.answer(307, b"", location=f"{target.url}/ranking?key=secret"))
    with pytest.raises(
        RequestRejectedError, match=f"redirects to http://{target.host}/v1/ranking;"
    ) as caught:
        score(hosted(server, api_key="nvapi-mine"), "q", PASSAGES)
    assert (caught.value.status, target.accepted, len(server.seen)) == (307, 0, 1)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "shown"),
    [("/v1/ranking/?a=b", "/v1/ranking/"), ("http://[x", "a malformed address"), ("", "nowhere")],
)
def test_a_redirect_to_an_odd_place_is_told_as_well(nim, hosted, score, location, shown):
    server = nim(default=steps.answer(301, b"", location=location))
    with pytest.raises(RequestRejectedError, match=f"redirects to {shown}; "):
        score(hosted(server), "q", PASSAGES)


def test_a_name_that_nobody_knows_is_reported(hosted, score, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ServiceUnavailableError, match=r"nobody\.invalid can't be reached"):
        score(hosted(model="m", base_url="https://nobody.invalid/v1", max_retries=0), "q", PASSAGES)


def test_a_pause_longer_than_the_deadline_fails_at_once(nim, hosted, score):
    server = nim(default=steps.answer(429, b"", retry_after="30"))
    begun = time.monotonic()
    with pytest.raises(RateLimitError) as caught:
        score(hosted(server), "q", PASSAGES)
    assert time.monotonic() - begun < 1
    assert (caught.value.retry_after, caught.value.tries) == (30, 1)


def test_the_pause_that_is_asked_for_is_made(nim, hosted, score):
    server = nim(steps.answer(429, b"", retry_after_ms="300", retry_after="9"))
    assert score(hosted(server), "q", PASSAGES) == TRUTH
    assert 0.29 < server.times[1] - server.times[0] < 1.5


SLOW = {
    "silence": steps.hang,
    "a byte at a time": steps.drip(0.05),
    "headers without an end": steps.drip(0.05, after=b"HTTP/1.1 200 X\r\nx-blanks: "),
    "a body without an end": steps.drip(0.05, after=b"HTTP/1.1 200 X\r\ncontent-length: 9999\r\n\r\n"),
    "nothing but 503": steps.answer(503, b"", retry_after_ms="200"),
}


@pytest.mark.parametrize("step", SLOW.values(), ids=SLOW)
def test_the_deadline_holds_whatever_is_slow(nim, hosted, score, step):
    server = nim(default=step)
    scorer = hosted(server, timeout=0.5, max_retries=100)
    begun = time.monotonic()
    with pytest.raises(ServiceUnavailableError) as caught:
        score(scorer, "q", PASSAGES)
    assert 0.25 < time.monotonic() - begun < 1.5
    if step is not SLOW["nothing but 503"]:
        assert isinstance(caught.value, DeadlineExceededError)
        assert "timeout=0.5 s" in str(caught.value)


def test_the_deadline_counts_the_queue(nim, hosted, score):
    server = nim(default=steps.rank(0.2))
    scorer = hosted(server, timeout=0.5, max_concurrency=1, max_batch_size=1)
    begun = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        score(scorer, "q", PASSAGES)
    assert time.monotonic() - begun < 1.5


def test_the_first_fatal_error_stops_the_others(nim, hosted, score):
    server = nim(steps.rank(8), steps.rank(8), steps.answer(401, {"detail": "who?"}), default=steps.rank(8))
    scorer = hosted(server, max_batch_size=1, max_concurrency=4)
    begun = time.monotonic()
    with pytest.raises(RequestRejectedError, match="who"):
        score(scorer, "q", PASSAGES)
    assert time.monotonic() - begun < 1.5
    assert len(server.seen) <= 4


def test_an_outage_is_not_made_worse(nim, hosted):
    server = nim(default=steps.answer(503, b"", retry_after_ms="1"))
    scorer = hosted(server, max_retries=10)
    for _ in range(40):
        with pytest.raises(ServiceUnavailableError) as caught:
            scorer.score("q", PASSAGES)
    assert len(server.seen) == 40 + 100
    assert "too many calls are failing" in str(caught.value)
