"""What may go wrong on the wire, byte by byte: tried again where that helps, never taken for an answer."""

import asyncio
import json
import socket
import time

import httpx
import pytest
from fake_nim import FakeNIM, steps, truth

from nvrerank import (
    BadResponseError,
    DeadlineExceededError,
    NVRerankError,
    RateLimitError,
    RequestRejectedError,
    ScoringError,
    ServiceUnavailableError,
)

PASSAGES = [f"passage {number}" for number in range(20)]
TRUTH = [truth("q", passage) for passage in PASSAGES]

HTML = b"<html><body><h1>Bad gateway</h1></body></html>"

PASSING = steps.PASSING | {
    "504 in an unknown encoding": steps.answer(504, b"\x00\x01", content_encoding="br"),
    "half of a 503": steps.raw(b"HTTP/1.1 503 X\r\ncontent-length: 100\r\n\r\nsorry"),
    "half of the JSON": steps.half_json(),
    "nearly all of the JSON": steps.half_json(0.99),
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


def test_half_of_the_json_twice_is_an_error(nim, hosted, score):
    server = nim(steps.half_json(), steps.half_json(0.7))
    with pytest.raises(BadResponseError, match="stops half way: report it") as caught:
        score(hosted(server, max_retries=9), "q", PASSAGES)
    assert (type(caught.value), caught.value.tries, caught.value.status) == (BadResponseError, 2, 200)
    assert len(server.seen) == 2


def test_half_of_the_json_is_tried_again_within_the_retries_and_the_deadline(nim, hosted, score):
    server = nim(default=steps.half_json())
    with pytest.raises(BadResponseError, match="stops half way"):
        score(hosted(server, max_retries=0), "q", PASSAGES)
    assert len(server.seen) == 1
    mixed = nim(steps.answer(503), steps.half_json(), steps.reset_at_once)
    assert score(hosted(mixed), "q", PASSAGES) == TRUTH
    assert len(mixed.seen) == 4


def test_half_a_list_of_models_is_asked_for_again(nim, hosted, ask):
    answers = [b'{"data": [{"id": "a', b'{"data": [{"id": "a"}]}']
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=answers.pop(0)))
    assert ask(hosted(base_url="http://h/v1", transport=transport), "models") == ["a"]


def test_a_byte_order_mark_is_no_part_of_the_json(nim, hosted, score):
    async def marked(wire, seen):
        await wire.reply(200, b"\xef\xbb\xbf" + json.dumps(steps.ranking(seen)).encode())

    assert score(hosted(nim(marked)), "q", PASSAGES) == TRUTH
    refused = nim(default=steps.answer(422, b'\xef\xbb\xbf{"detail": "no"}'))
    with pytest.raises(RequestRejectedError) as caught:
        score(hosted(refused), "q", PASSAGES)
    assert caught.value.reason == "no"


NONSENSE = {
    "location": [
        "javascript:alert(1)",
        "http://[::1",
        "http://h:99999/",
        "//",
        "http://\xff\xfe/",
        "x" * 9000,
    ],
    "retry-after": ["-1", "1e400", "9" * 5000, "Fri, 32 Foo 99999 25:61:61 +99999999", "\xff", "1, 2"],
    "retry-after-ms": ["nan", "0x1", "9" * 5000],
    "nvcf-reqid": ["../../x", "a b", "\xff" * 200, "x" * 9000],
    "x-request-id": ["\x7f", "é" * 200, "<script>"],
    "set-cookie": [
        "=;;==;",
        "a=b; expires=99999-99-99; domain=\xff",
        "a=b; max-age=" + "9" * 5000,
        "\xff" * 900,
    ],
    "content-type": ["\xff", "text/html; charset=no-such", "application/json; charset=utf-7", ";;;="],
    "content-encoding": ["br", "\xff", "gzip, gzip, gzip", "identity, zstd"],
    "content-length": ["-1", "99", "1, 2", "9" * 5000, "x"],
    "transfer-encoding": ["chunked, chunked", "gzip", "\xff"],
    "connection": ["\xff", "upgrade", ","],
    "x": ["x" * 200_000],
}


@pytest.mark.parametrize("status", [200, 202, 302, 308, 422, 503])
@pytest.mark.parametrize("name", NONSENSE)
def test_whatever_a_header_says_there_are_scores_or_an_error_of_ours(nim, hosted, score, name, status):
    for value in NONSENSE[name]:
        spoiled = steps.raw(
            f"HTTP/1.1 {status} X\r\n{name}: {value}\r\n".encode("latin-1")
            + (b"\r\n" if name in ("content-length", "transfer-encoding") else b"content-length: 2\r\n\r\n")
            + b"{}"
        )
        with pytest.raises(NVRerankError) as caught:
            score(hosted(nim(default=spoiled), max_retries=0, timeout=2), "q", PASSAGES)
        assert not isinstance(caught.value, ScoringError)


@pytest.mark.parametrize("target", NONSENSE["location"])
def test_a_redirect_to_nonsense_is_a_redirect_like_others(nim, hosted, score, target):
    server = nim(default=steps.answer(307, b"", location=target))
    with pytest.raises(RequestRejectedError, match=r"redirects to .*; redirects are not followed") as caught:
        score(hosted(server), "q", PASSAGES)
    assert (caught.value.status, len(server.seen)) == (307, 1)


FOREIGN = {
    "a decoding error": (httpx.DecodingError("bad brotli"), BadResponseError),
    "a bug": (ZeroDivisionError("division by zero"), BadResponseError),
    "a charset": (LookupError("unknown encoding: x"), BadResponseError),
    "a recursion": (RecursionError("too deep"), BadResponseError),
    "a URL": (httpx.InvalidURL("no URL"), RequestRejectedError),
    "a label": (UnicodeError("label too long"), RequestRejectedError),
    "the system": (ConnectionResetError("reset by peer"), ServiceUnavailableError),
}


@pytest.mark.parametrize(("error", "kind"), FOREIGN.values(), ids=FOREIGN)
def test_no_foreign_exception_leaves(hosted, score, error, kind):
    def answer(request):
        raise error

    scorer = hosted(model="m", base_url="http://h/v1", transport=httpx.MockTransport(answer), max_retries=0)
    with pytest.raises(NVRerankError, match=str(error)) as caught:
        score(scorer, "q", ["a"])
    assert type(caught.value) is kind
    assert (caught.value.__cause__ is error) is (kind is not ServiceUnavailableError)


def test_a_cause_that_shows_a_key_or_a_text_is_left_out(hosted, score):
    for secret in ("nvapi-0123456789abcdefghij", "a passage that is quoted whole"):

        def answer(request, words=secret):
            raise ValueError(f"can't send {words}")

        transport = httpx.MockTransport(answer)
        scorer = hosted(
            model="m", base_url="https://h/v1", api_key="nvapi-0123456789abcdefghij", transport=transport
        )
        with pytest.raises(BadResponseError) as caught:
            score(scorer, "q", ["a passage that is quoted whole"])
        assert secret not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_host_that_no_name_service_can_be_asked_for_is_an_error_of_ours(hosted, score):
    for host in ("a" * 64 + ".example", "a..example", "xn--a"):
        with pytest.raises(NVRerankError):
            score(hosted(model="m", base_url=f"http://{host}/v1", max_retries=0, timeout=5), "q", ["a"])


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
