"""`nvrerank serve`: what is refused before anything is loaded, and a whole life of one."""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _the_level_of_the_log():
    """A process of its own would take its level with it."""
    log = logging.getLogger("nvrerank.server")
    before = log.level
    yield
    log.setLevel(before)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "--api-key KEY, or --no-auth"),  # noqa: S104
        (["--api-key", "two words"], "visible ASCII"),
        (["--api-key", "k", "--no-auth"], "contradict"),
        (["--scorer", "nonsense"], "a scorer is"),
        (["--max-queued", "1"], "max_queued_passages must be 512 or more"),
        (["--log-level", "loud"], "--log-level is"),
    ],
)
def test_a_bad_argument_is_one_line_and_status_2(command, arguments, words):
    done = command("serve", *arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_one_line_and_status_1(command):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = command("serve", "--port", taken.getsockname()[1])
    assert done.exit_code == 1
    assert "use" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_cant_be_loaded_ends_it_with_one_line(command, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    done = command("serve", "--port", 0, "--scorer", f"local:{tmp_path}", "--log-level", "error")
    assert done.exit_code == 3
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_it_serves_the_bundled_model_with_a_key_until_sigterm():
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "shared"), "NVRERANK_API_KEY": "sk-secret"}
    run = [sys.executable, "-c", "from nvrerank.cli import app; app()", "serve", "--port", "0"]
    with subprocess.Popen(run, stderr=subprocess.PIPE, text=True, env=environment) as server:
        try:
            url = re.search(r"http://\S+?:\d+", server.stderr.readline())[0]
            body = {"query": "what is a cat?", "documents": ["a cat is an animal", "rust"]}
            headers = {"authorization": "Bearer sk-secret"}
            answer = httpx.post(f"{url}/v1/rerank", json=body, headers=headers, timeout=60)
            assert [one["index"] for one in answer.json()["results"]] == [0, 1]
            assert httpx.post(f"{url}/v1/rerank", json=body).status_code == 401
        finally:
            server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=60)
    assert server.returncode == 0
    assert " /v1/rerank 200 " in log
    assert "sk-secret" not in log
    assert "cat" not in log
