"""Load on `nvrerank serve` with the bundled model: packing, two and ten times its capacity, SIGTERM.

The callers run on the same processors as the server, so that its figures are rather too low.

    python -m bench.serve [--seconds 60] [--infinity]

The peer wants an environment of its own: make .venv-infinity/.ready
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from bench.local.checkpoints import made
from bench.local.machine import machine
from bench.serve.callers import Asked, Callers, asked, percentile
from nvrerank import LocalScorer
from nvrerank.passages import cut

_CALLERS, _PASSAGES, _IN_FLIGHT = 32, 10, 50
_CHARACTERS = 240  # of a passage: about 60 tokens
_MODEL = "reranker"
_ROOT = Path(__file__).parents[3]

_CODE = "from nvrerank.cli import app; app()"
OURS = (sys.executable, "-c", _CODE, "serve", "--model-name", _MODEL, "--log-level", "warning")
_INFINITY = (
    *(str(_ROOT / ".venv-infinity" / "bin" / "infinity_emb"), "v2", "--engine", "torch", "--device", "cpu"),
    *("--dtype", "float32", "--no-bettertransformer", "--log-level", "error"),
)


def workload(scorer: LocalScorer, *, path: str = "/v1/ranking") -> list[Asked]:
    """32 different requests of 10 passages of the project's own pages, with their scores."""
    pages = [_ROOT / name for name in ("README.md", "CONTRIBUTING.md", "docs/local-models.md")]
    passages = [one.text[:_CHARACTERS] for page in pages for one in cut(page.read_text(encoding="utf-8"))]
    requests = []
    for number in range(_CALLERS):
        texts = [passages[(number * 7 + place * 11) % len(passages)] for place in range(_PASSAGES)]
        query = " ".join(texts[0].split()[:8])
        requests.append(asked(_MODEL, query, texts, scorer.score(query, texts), path=path))
    return requests


@contextmanager
def server(
    *options: str, command: Sequence[str] = OURS, health: str = "/v1/health/ready"
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A server, ready, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([*command, "--port", str(port), *options]) as process:  # noqa: S603  # our own
        try:
            while not _is_ready(port, health):
                if process.poll() is not None:
                    raise SystemExit(f"{command[0]} ended before it was ready")
                time.sleep(0.1)
            yield process, port
        finally:
            process.terminate()


def _is_ready(port: int, health: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{health}", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def capacity(requests: list[Asked], seconds: float, *options: str, **how: Any) -> float:
    """Answers a second to 32 callers; `how` as for `server`."""
    with server(*options, **how) as (_, port):

        async def call() -> float:
            await Callers(port, requests).in_turns(_CALLERS, min(2.0, seconds))  # warms it up
            callers = Callers(port, requests)
            rate = await callers.in_turns(_CALLERS, seconds)
            told = f"p50 {1000 * percentile(callers.tally.seconds, 0.5):.0f} ms"
            print(f"  {rate:.1f} answers/s, {told}, wrong {callers.tally.wrong}, lost {callers.tally.lost}")
            callers.close()
            return rate

        return asyncio.run(call())


def beside_infinity(seconds: float) -> None:
    """The same requests to infinity's server, which packs as well, and to ours: MiniLM in float32."""
    folder, _ = made("minilm", _ROOT / "build" / "bench")
    requests = workload(LocalScorer(folder, device="cpu", long_passages="truncate"), path="/rerank")
    for size in ("32", "64", "128"):
        print(f"infinity, --batch-size {size}")
        model = ("--model-id", str(folder), "--served-model-name", _MODEL, "--batch-size", size)
        capacity(requests, seconds, *model, command=_INFINITY, health="/health")
    print("nvrerank serve")
    capacity(requests, seconds, "--scorer", f"local:{folder}")


def overload(requests: list[Asked], seconds: float, times: int, peak: float) -> None:
    """A rate of several times the capacity, with an eye on health and memory."""
    with server() as (process, port):

        async def call() -> None:
            await Callers(port, requests).in_turns(_CALLERS, min(5.0, seconds))
            before = _resident(process.pid)
            callers = Callers(port, requests)
            lives: Queue[list[float]] = multiprocessing.Queue()
            watcher = multiprocessing.Process(target=_watch_live, args=(port, seconds, lives))
            watcher.start()
            goodput = await callers.at_a_rate(times * peak, seconds)
            live, tally = await asyncio.to_thread(lives.get), callers.tally
            watcher.join()
            slow = [1000 * percentile(live, share) for share in (0.5, 0.99, 1)]
            print(f"  goodput {goodput:.1f}/s, {goodput / peak:.0%} of the peak; {dict(tally.statuses)}")
            print(f"  wrong {tally.wrong}, lost {tally.lost}, p99 {percentile(tally.seconds, 0.99):.1f} s")
            print(f"  live p50 {slow[0]:.1f}, p99 {slow[1]:.1f}, most {slow[2]:.1f} ms of {len(live)}")
            print(f"  memory {before} -> {_resident(process.pid)} MiB")
            callers.close()

        asyncio.run(call())


def _watch_live(port: int, seconds: float, lives: Queue[list[float]]) -> None:
    ends, times = time.monotonic() + seconds, []
    while time.monotonic() < ends:
        began = time.perf_counter()
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/health/live", timeout=30).read()
        times.append(time.perf_counter() - began)
        time.sleep(0.05)
    lives.put(times)


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def stop(requests: list[Asked]) -> None:
    """SIGTERM while 50 requests are under way."""
    with server() as (process, port):

        async def call() -> None:
            callers = Callers(port, requests)
            under_way = [asyncio.create_task(callers.ask()) for _ in range(_IN_FLIGHT)]
            await asyncio.sleep(0.05)
            done = sum(task.done() for task in under_way)
            process.send_signal(signal.SIGTERM)
            await asyncio.gather(*under_way)
            tally = callers.tally
            print(f"  {done} before it, then {dict(tally.statuses)}")
            print(f"  lost {tally.lost}, wrong {tally.wrong}")
            callers.close()

        asyncio.run(call())
        print(f"  exit status {process.wait(30)}")


def main() -> None:
    """Runs all and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load")
    parser.add_argument("--infinity", action="store_true", help="only the same load beside infinity's server")
    given = parser.parse_args()
    seconds = given.seconds
    about = machine()
    print(f"{about['processor']}, {about['cores']} cores, Python {about['python']}")
    print(f"load before {about['load_before']:.1f}")
    if given.infinity:
        beside_infinity(seconds)
        return
    requests = workload(LocalScorer(device="cpu", long_passages="truncate"))
    print(f"{_CALLERS} callers of {_PASSAGES} passages, each request computed by itself")
    alone = capacity(requests, seconds, "--batch-tokens", "1")
    print(f"{_CALLERS} callers of {_PASSAGES} passages, packed")
    peak = capacity(requests, seconds)
    print(f"  {peak / alone:.2f} times as many")
    for times in (2, 10):
        print(f"{times} times the capacity for {seconds:g} s")
        overload(requests, seconds, times, peak)
    print(f"SIGTERM under {_IN_FLIGHT} requests")
    stop(requests)


if __name__ == "__main__":
    main()
