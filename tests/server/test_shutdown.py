"""SIGTERM: not ready, nothing new, all that was taken is answered, exit status 0."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from server.conftest import nim

from nvrerank.server import create_app

ROOT = Path(__file__).parents[2]
SERVES = """
import logging, sys, time
from nvrerank import Scorer
from nvrerank.server import serve

class Slow(Scorer):
    name = "fake/reranker"

    def _score(self, query, passages):
        time.sleep(float(sys.argv[1]))
        return [float(len(text)) for text in passages]

logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
serve(Slow(), port=0)
"""


@pytest.fixture
def process():
    """A server in a process of its own, whose model takes so long: process(seconds) -> (process, url)."""
    started = []

    def start(seconds):
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "shared")}
        command = [sys.executable, "-c", SERVES, str(seconds)]
        one = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        started.append(one)
        url = re.search(r"http://127\.0\.0\.1:\d+", one.stderr.readline())[0]
        while True:
            try:
                if httpx.get(f"{url}/v1/health/ready").status_code == 200:
                    return one, url
            except httpx.TransportError:
                time.sleep(0.02)

    yield start
    for one in started:
        one.kill()
        one.communicate()


async def stop_while(process, url, count):
    """Statuses of so many requests that are under way at SIGTERM, of health after it, and of one more."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
        asked = [asyncio.create_task(client.post("/v1/ranking", json=nim())) for _ in range(count)]
        await asyncio.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        ready, live = await client.get("/v1/health/ready"), await client.get("/v1/health/live")
        await asyncio.sleep(0.6)
        late = await client.post("/v1/ranking", json=nim())
        return [one.status_code for one in await asyncio.gather(*asked)], ready, live, late


def test_at_sigterm_50_requests_are_finished_and_none_is_lost(process):
    server, url = process(0.6)
    statuses, ready, live, late = asyncio.run(stop_while(server, url, 50))
    assert statuses == [200] * 50
    assert (ready.status_code, live.status_code) == (503, 200)
    assert (late.status_code, late.headers["retry-after"], late.headers["connection"]) == (503, "1", "close")
    _, log = server.communicate(timeout=20)
    assert server.returncode == 0
    assert "stopping" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_at_once_with_0(process, number):
    server, _ = process(0)
    began = time.monotonic()
    server.send_signal(number)
    server.communicate(timeout=20)
    assert server.returncode == 0
    assert time.monotonic() - began < 5


def test_a_second_signal_does_not_wait(process):
    server, url = process(8)

    async def stop_twice():
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            asked = asyncio.create_task(client.post("/v1/ranking", json=nim()))
            await asyncio.sleep(0.3)
            server.send_signal(signal.SIGINT)
            await asyncio.sleep(0.3)
            assert server.poll() is None
            server.send_signal(signal.SIGINT)
            await asyncio.gather(asked, return_exceptions=True)

    began = time.monotonic()
    asyncio.run(stop_twice())
    server.communicate(timeout=20)
    assert time.monotonic() - began < 7


def test_what_is_not_done_in_time_is_refused_and_the_process_ends_with_0(process, monkeypatch):
    short = "serving.DRAIN_SECONDS = 1\nserve(Slow"
    monkeypatch.setitem(
        globals(),
        "SERVES",
        SERVES.replace("serve(Slow", short).replace("import serve\n", "import serve, serving\n"),
    )
    server, url = process(6)

    async def stop():
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            asked = [asyncio.create_task(client.post("/v1/ranking", json=nim())) for _ in range(20)]
            await asyncio.sleep(0.3)
            server.send_signal(signal.SIGTERM)
            return await asyncio.gather(*asked)

    began = time.monotonic()
    answers = asyncio.run(stop())
    _, log = server.communicate(timeout=20)
    assert server.returncode == 0
    assert time.monotonic() - began < 5
    assert [one.status_code for one in answers] == [503] * 20  # computed or waiting
    assert "Traceback" not in log


def test_an_application_of_ones_own_keeps_its_signal_handlers():
    from server.conftest import Truth
    from starlette.testclient import TestClient

    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    app = create_app(Truth())
    for _ in range(2):  # and it starts again
        with TestClient(app) as client:
            assert client.post("/v1/ranking", json=nim()).status_code == 200
            assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == before
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == before
