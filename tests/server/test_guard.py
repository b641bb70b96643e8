"""What is refused before it is read or scored, and what is never told."""

import asyncio
import logging
import socket
import time

import httpx
import pytest
from server.conftest import MODEL, Truth, nim, until

from nvrerank import RequestRejectedError, Scorer
from nvrerank.errors import AuthenticationError, RateLimitError
from nvrerank.server import ServerSettings, create_app
from nvrerank.server.settings import check_reach

KEY = "sk-0123456789"


def raw(server, data, *, pause=None):
    """The answer to these bytes, sent with a pause after each; b"" if there is none."""
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20) as wire:
        for part in data:
            try:
                wire.sendall(part)
            except OSError:
                break
            if pause:
                time.sleep(pause)
        answer = b""
        while chunk := wire.recv(1 << 16):
            answer += chunk
        return answer


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer sk-wrong", KEY, f"Basic {KEY}", f"Bearer {KEY}x"])
def test_without_the_key_nothing_is_answered_but_health_and_the_page(serving, header):
    client = serving(api_key=KEY).client
    headers = {} if header is None else {"authorization": header}
    for path in ("/v1/models", "/v1/metrics", "/metrics", "/openapi.json", "/info", "/no-such-path"):
        refused = client.get(path, headers=headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    for path in ("/v1/ranking", "/v1/rerank", "/v2/rerank", "/rerank", "/page/rank"):
        assert client.post(path, json=nim(), headers=headers).status_code == 401
    for path in ("/", "/page/page.js", "/page/page.css", "/v1/health/live", "/v1/health/ready", "/health"):
        assert client.get(path, headers=headers).status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_with_the_key_all_is_answered(serving, scheme):
    client = serving(api_key=f" {KEY}\n").client
    answer = client.post("/v1/ranking", json=nim(), headers={"authorization": f"{scheme} {KEY}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("key", ["", " ", "two words", "schlüssel", "a\nb"])
def test_a_key_that_no_header_holds_is_refused(key):
    with pytest.raises(ValueError, match="api_key must be"):
        ServerSettings(api_key=key)


def test_a_key_is_in_no_repr():
    assert KEY not in repr(ServerSettings(api_key=KEY))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.7", "my-machine"])  # noqa: S104
def test_an_address_that_others_reach_needs_a_key_or_the_word_that_none_is_needed(host):
    with pytest.raises(ValueError, match="others can reach"):
        check_reach(host, keyed=False, no_auth=False)
    check_reach(host, keyed=True, no_auth=False)
    check_reach(host, keyed=False, no_auth=True)
    with pytest.raises(ValueError, match="contradict"):
        check_reach(host, keyed=True, no_auth=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machines_own_address_needs_none(host):
    check_reach(host, keyed=False, no_auth=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_tokens": 0},
        {"max_queued_passages": 511},
        {"threads": 0},
        {"max_wait_ms": -1},
        {"max_wait_ms": float("nan")},
        {"body_seconds": 0},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        ServerSettings(**wrong)


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_only_json_is_taken_so_that_another_page_cant_send_it_unasked(server, kind):
    headers = {} if kind is None else {"content-type": kind}
    answer = server.client.post("/v1/ranking", content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert "application/json" in answer.json()["detail"]


def test_compressed_bodies_are_refused(server):
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert server.client.post("/v1/ranking", content=b"x", headers=headers).status_code == 415


def test_no_other_page_is_allowed_unless_asked_for(serving, server):
    asks = {"origin": "https://example.org", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in server.client.options("/v1/ranking", headers=asks).headers
    answer = server.client.post("/v1/ranking", json=nim(), headers=asks)
    assert "access-control-allow-origin" not in answer.headers
    client = serving(cors_origins=["https://example.org"], api_key=KEY).client
    allowed = client.options("/v1/ranking", headers=asks)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (
        200,
        "https://example.org",
    )
    other = client.options("/v1/ranking", headers={**asks, "origin": "https://example.com"})
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_bound_is_refused_and_the_answer_arrives(serving, chunked):
    client = serving(max_body_bytes=1 << 20).client
    body = b"x" * (3 << 20)
    content = (body[i : i + 65536] for i in range(0, len(body), 65536)) if chunked else body
    answer = client.post("/v1/ranking", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert "1048576 bytes" in answer.json()["message"]
    assert client.post("/v1/ranking", json=nim()).status_code == 200


def test_32_mib_are_the_bound_and_almost_that_is_scored(server):
    passages = ["x" * (1 << 20)] * 31
    assert server.client.post("/v1/ranking", json=nim("q", passages, truncate="END")).status_code == 200
    too_large = {**nim("q", ["x" * (1 << 20)] * 33), "truncate": "END"}
    assert server.client.post("/v1/ranking", json=too_large).status_code == 413
    assert server.service._held_bytes == 0


@pytest.mark.parametrize("part", [b"[],", b'{"text":"a"},', b'"",', b'"\\"":{},'])
def test_json_of_a_million_parts_is_refused_before_it_is_parsed(server, part):
    body = b'{"model":"m","query":{"text":"q"},"passages":[' + part * 1_000_000 + b"1]}"
    began = time.monotonic()
    answer = server.client.post("/v1/ranking", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert "512 passages" in answer.json()["message"]
    assert time.monotonic() - began < 5


def test_commas_and_quotes_inside_of_512_passages_are_no_parts(server):
    passages = ['a "quoted", [bracketed] {text}: ' * 40] * 512
    assert server.client.post("/v1/ranking", json=nim("q", passages, truncate="END")).status_code == 200


HEAD = b"POST /v1/ranking HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n"


def test_a_body_that_drips_in_is_given_up(serving):
    server = serving(body_seconds=0.3)
    began = time.monotonic()
    answer = raw(server, [HEAD, *[b"{"] * 10], pause=0.1)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("begun", [b"", b"POST /v1/ran", b"GET /v1/models HTTP/1.1\r\nhost: h\r\nx-drip: "])
def test_headers_that_do_not_come_or_drip_in_are_given_up(server, monkeypatch, begun):
    monkeypatch.setattr("nvrerank.server.serving._HEADER_SECONDS", 0.3)
    began = time.monotonic()
    assert raw(server, [begun, *[b"x"] * 10] if begun else [begun], pause=0.1) == b""
    assert time.monotonic() - began < 5


def test_headers_that_drip_in_after_a_first_request_are_given_up_too(server, monkeypatch):
    monkeypatch.setattr("nvrerank.server.serving._HEADER_SECONDS", 0.3)
    first = b"GET /v1/health/live HTTP/1.1\r\nhost: h\r\n\r\n"
    answer = raw(server, [first, b"GET /v1/mod", *[b"x"] * 10], pause=0.1)
    assert answer.count(b"HTTP/1.1 ") == 1


class Fails(Scorer):
    name = MODEL

    def __init__(self, error):
        self._error = error

    def _score(self, query, passages):
        raise self._error


SECRET = "the secret passage"  # noqa: S105


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError(SECRET), 500),
        (RuntimeError(SECRET), 500),
        (AuthenticationError(SECRET, status=401), 500),
        (RequestRejectedError("too odd", index=1), 422),
        (RateLimitError("slow down", retry_after=7.2), 503),
    ],
)
def test_what_a_scorer_raises_becomes_an_answer_and_its_words_go_nowhere(serving, caplog, error, status):
    caplog.set_level(logging.DEBUG)
    answer = serving(Fails(error), api_key=KEY).client.post(
        "/v1/ranking", json=nim(SECRET, ["a", SECRET]), headers={"authorization": f"Bearer {KEY}"}
    )
    assert answer.status_code == status
    assert SECRET not in answer.text + caplog.text
    assert KEY not in caplog.text
    if status == 500:
        assert type(error).__name__ in caplog.text  # but where it went wrong is there
    if status == 503:
        assert answer.headers["retry-after"] == "8"
    if status == 422:
        assert answer.json()["detail"][0]["loc"] == ["body", "passages", 1]


def test_the_index_of_a_refused_passage_is_the_callers(serving):
    body = nim("q", ["same", "same", "other"])
    answer = serving(Fails(RequestRejectedError("too odd", index=1))).client.post("/v1/ranking", json=body)
    assert answer.json()["detail"][0]["loc"] == ["body", "passages", 2]


def test_a_request_is_logged_with_its_route_status_and_name_and_without_its_words(server, caplog):
    caplog.set_level(logging.DEBUG, "nvrerank.server")
    answer = server.client.post(f"/v1/ranking?{SECRET}", json=nim(SECRET, [SECRET]))
    server.client.get(f"/{SECRET}")
    until(lambda: " 404 " in caplog.text)
    assert f"{answer.headers['x-request-id']} /v1/ranking 200 " in caplog.text
    assert " other 404 " in caplog.text
    ours = [
        record.getMessage() for record in caplog.records if record.name.startswith(("nvrerank", "uvicorn"))
    ]
    assert len(ours) == 2
    assert not [line for line in ours if "secret" in line]


def test_answers_are_not_kept_or_taken_for_something_else(server):
    headers = server.client.get("/v1/models").headers
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
    assert "server" not in headers


def test_a_fault_of_a_route_is_an_answer_too(server, monkeypatch, caplog):
    def boom():
        raise RuntimeError(SECRET)

    monkeypatch.setattr(server.service.metrics, "text", boom)
    answer = server.client.get("/v1/metrics")
    assert answer.status_code == 500
    assert SECRET not in answer.text + caplog.text


def test_it_can_be_mounted_in_another_application_which_starts_no_lifespan():
    from fastapi import FastAPI

    outer = FastAPI()
    outer.mount("/rank", create_app(Truth(), ServerSettings(api_key=KEY)))

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url="http://h") as client:
            live = await client.get("/rank/v1/health/live")
            locked = await client.post("/rank/v1/ranking", json=nim())
            headers = {"authorization": f"Bearer {KEY}"}
            answer = await client.post("/rank/v1/ranking", json=nim(), headers=headers)
            return live.status_code, locked.status_code, answer.status_code

    assert asyncio.run(ask()) == (200, 401, 200)
