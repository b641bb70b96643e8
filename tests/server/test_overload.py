"""A busy model: refusals at once, health all the while, callers who leave, and the figures of it."""

import asyncio
import re
import threading
import time

import httpx
import pytest
from fake_nim import truth
from server.conftest import Truth, nim, until

from nvrerank import Fallback, Scorer, Windowed
from nvrerank.errors import ModelLoadError, ServiceUnavailableError


def figures(client):
    """Prometheus' lines as {name with labels: number}."""
    text = client.get("/v1/metrics").text
    return {name: float(value) for name, value in re.findall(r"^(nvrerank_\S+) (\S+)$", text, re.MULTILINE)}


async def flood(server, count, passages):
    """So many requests at once; the queue is full before the model goes on."""
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        body = nim("q", [f"text {number}" for number in range(passages)])
        asked = [asyncio.create_task(client.post("/v1/ranking", json=body)) for _ in range(count)]
        done, _ = await asyncio.wait(asked, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        times = []
        for _ in range(20):
            began = time.perf_counter()
            assert (await client.get("/v1/health/live")).status_code == 200
            times.append(time.perf_counter() - began)
        server.scorer.open.set()
        return done, [answer.status_code for answer in await asyncio.gather(*asked)], times


def test_over_the_bound_some_are_refused_at_once_the_rest_is_scored_and_health_answers(serving):
    server = serving(max_queued_passages=512, threads=1)
    server.scorer.open.clear()
    refused, statuses, times = asyncio.run(flood(server, 40, 50))
    assert refused  # while the model was still busy
    assert all(answer.result().status_code == 503 for answer in refused)
    assert all(1 <= int(answer.result().headers["retry-after"]) <= 60 for answer in refused)
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 10
    assert sorted(times)[len(times) // 2] < 0.05
    told = figures(server.client)
    assert told['nvrerank_refusals_total{reason="busy"}'] == statuses.count(503)
    assert told["nvrerank_passages_total"] == statuses.count(200) * 50
    assert told["nvrerank_queue_passages"] == 0


def test_a_full_queue_refuses_without_reading_and_keeps_the_connection(serving):
    server = serving(max_queued_passages=512, threads=1)
    server.scorer.open.clear()
    calls = [server.service.scorer._submit("first", ["a"])]
    assert server.scorer.entered.acquire(timeout=10)
    calls += [server.service.scorer._submit("q", ["a"] * count) for count in [*[50] * 9, 12]]
    unread = {"content": b"no JSON", "headers": {"content-type": "application/json"}}
    assert server.client.post("/v1/ranking", **unread).status_code == 422  # there is room for it
    calls.append(server.service.scorer._submit("q", ["a"] * 38))
    refused = server.client.post("/v1/ranking", **unread)
    assert refused.status_code == 503
    assert "connection" not in refused.headers
    server.scorer.open.set()
    assert [len(call.result(10)) for call in calls] == [1, *[50] * 9, 12, 38]


def test_a_caller_who_leaves_is_dropped_and_counted(serving):
    server = serving(threads=1)
    server.scorer.open.clear()

    async def leave():
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
            asked = [asyncio.create_task(client.post("/v1/ranking", json=nim("0")))]
            assert await asyncio.to_thread(server.scorer.entered.acquire, timeout=10)
            asked += [asyncio.create_task(client.post("/v1/ranking", json=nim(str(n)))) for n in (1, 2)]
            await asyncio.to_thread(until, lambda: len(server.service.scorer.queue) == 2)
            asked[1].cancel()
            await asyncio.to_thread(until, lambda: len(server.service.scorer.queue) == 1)
            server.scorer.open.set()
            return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(leave())
    assert [getattr(one, "status_code", None) for one in answers].count(200) == 2
    scored = [query for batch in server.scorer.batches for query, _ in batch]
    assert scored == ["0", "2"]
    until(lambda: server.service.requests == 0)
    assert figures(server.client)["nvrerank_abandoned_requests_total"] == 1


def test_metrics_count_requests_batches_and_times_and_have_no_label_from_a_caller(serving):
    server = serving()
    server.client.post("/v1/ranking", json=nim("q", ["a", "b", "c"]))
    server.client.post("/v1/ranking", json=nim(" "))
    server.client.get("/who/are/you", params={"q": "secret"})
    server.client.request("SECRET", "/v1/ranking")
    told = figures(server.client)
    assert told['nvrerank_requests_total{route="/v1/ranking",status="200"}'] == 1
    assert told['nvrerank_requests_total{route="/v1/ranking",status="422"}'] == 1
    assert told['nvrerank_requests_total{route="other",status="404"}'] == 1
    assert told['nvrerank_refusals_total{reason="invalid"}'] == 1
    assert told["nvrerank_passages_total"] == 3
    for name in ("queue_seconds", "model_seconds", "batch_tokens", "batch_requests"):
        assert told[f"nvrerank_{name}_count"] == 1
    text = server.client.get("/metrics").text
    assert "secret" not in text.lower()
    assert "process_resident_memory_bytes" in text


class Loads(Truth):
    def __init__(self, error=None):
        super().__init__()
        self.open.clear()
        self._error = error

    def load(self):
        assert self.open.wait(10)
        if self._error:
            raise self._error


@pytest.mark.parametrize("around", [lambda scorer: scorer, Windowed])
def test_it_is_ready_once_the_model_is_loaded_and_live_before(serving, around):
    scorer = Loads()
    client = serving(around(scorer)).client
    assert client.get("/v1/health/live").status_code == 200
    assert client.get("/v1/health/ready").status_code == 503
    assert client.get("/v1/health/ready").json()["status"] == "not ready"
    scorer.open.set()
    until(lambda: client.get("/v1/health/ready").status_code == 200)


def is_answered(server):
    try:
        return server.client.get("/v1/health/ready").status_code == 503
    except httpx.TransportError:
        return False


def test_a_server_whose_model_cant_be_loaded_ends(serving):
    scorer = Loads(ModelLoadError("no weights"))
    server = serving(scorer)
    scorer.open.set()
    until(lambda: server.service.scorer.failure)
    assert str(server.service.scorer.failure) == "no weights"
    until(lambda: not is_answered(server))


def test_a_request_is_answered_in_order_whatever_its_neighbours_ask(serving):
    server = serving()

    async def ask():
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
            bodies = [nim(f"query {number}", [f"text {number}", "text"]) for number in range(60)]
            return await asyncio.gather(*(client.post("/v1/ranking", json=body) for body in bodies))

    for number, answer in enumerate(asyncio.run(ask())):
        scores = {one["index"]: one["logit"] for one in answer.json()["rankings"]}
        assert scores == {0: truth(f"query {number}", f"text {number}"), 1: truth(f"query {number}", "text")}
    assert max(map(len, server.scorer.batches)) > 1


def test_a_scorer_that_holds_the_interpreter_for_a_while_does_not_hold_health(serving):
    class Busy(Scorer):
        name = "busy"

        def _score(self, query, passages):
            ends = time.monotonic() + 1
            while time.monotonic() < ends:
                sum(range(100))
            return [1.0 for _ in passages]

    server = serving(Busy())

    async def ask():
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
            scoring = asyncio.create_task(client.post("/v1/ranking", json={**nim(), "model": "busy"}))
            times = []
            while not scoring.done():
                began = time.perf_counter()
                await client.get("/v1/health/live")
                times.append(time.perf_counter() - began)
                await asyncio.sleep(0.02)
            return scoring.result().status_code, times

    status, times = asyncio.run(ask())
    assert status == 200
    assert len(times) > 3


def test_a_scorer_that_does_not_pack_has_many_requests_under_way(serving):
    class Slow(Scorer):
        name = "slow"

        def _score(self, query, passages):
            barrier.wait(10)
            return [1.0 for _ in passages]

    barrier = threading.Barrier(8)
    server = serving(Slow())

    async def ask():
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
            body = {**nim(), "model": "slow"}
            return await asyncio.gather(*(client.post("/v1/ranking", json=body) for _ in range(8)))

    assert [answer.status_code for answer in asyncio.run(ask())] == [200] * 8


@pytest.mark.filterwarnings("ignore::nvrerank.FallbackWarning")
def test_a_scorer_made_of_scorers_is_served_too(serving):
    class Down(Scorer):
        name = "down"
        scale = "probability"

        def _score(self, query, passages):
            raise ServiceUnavailableError("down")

    server = serving(Fallback(Down(), Truth()))
    body = {**nim("q", ["a", "b"]), "model": server.service.names[0]}
    answer = server.client.post("/v1/ranking", json=body)
    assert answer.status_code == 200, answer.text
    scores = {one["index"]: one["logit"] for one in answer.json()["rankings"]}
    assert scores == {0: truth("q", "a"), 1: truth("q", "b")}
