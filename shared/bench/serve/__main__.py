"""Load on `nvrerank serve` with MiniLM in float32: packing, two and ten times its capacity, SIGTERM.

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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.local.machine import machine
from bench.serve.callers import Asked, Callers, percentile
from bench.serve.workload import CALLERS, MODEL, ROOT, jobs, local_scorer, model_folder, workload
from nvrerank import LocalScorer

_PASSAGES, _IN_FLIGHT = 10, 50
_CODE = "from nvrerank.cli import app; app()"
_INFINITY = (
    *(str(ROOT / ".venv-infinity" / "bin" / "infinity_emb"), "v2", "--engine", "torch", "--device", "cpu"),
    *("--dtype", "float32", "--no-bettertransformer", "--log-level", "error"),
)


def without_a_server(scorer: LocalScorer, size: int, seconds: float) -> float:
    """Jobs a second of `score_many` in as many threads as the server's, which no server can surpass."""
    wanted, ends = cycle(jobs(size)), (began := time.perf_counter()) + seconds

    def work() -> int:
        done = 0
        while time.perf_counter() < ends:
            done += len(scorer.score_many(list(islice(wanted, CALLERS // size))))
        return done

    with ThreadPoolExecutor(2) as pool:
        done = sum(future.result() for future in [pool.submit(work) for _ in range(2)])
    return done / (time.perf_counter() - began)


@contextmanager
def server(
    *options: str, command: Sequence[str] = (), health: str = "/v1/health/ready"
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A server, ready, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = command or _ours()
    with subprocess.Popen([*command, "--port", str(port), *options]) as process:  # noqa: S603  # our own
        try:
            while not _is_ready(port, health):
                if process.poll() is not None:
                    raise SystemExit(f"{command[0]} ended before it was ready")
                time.sleep(0.1)
            yield process, port
        finally:
            process.terminate()


def _ours() -> Sequence[str]:
    told = ("--scorer", f"local:{model_folder()}", "--model-name", MODEL, "--log-level", "warning")
    return sys.executable, "-c", _CODE, "serve", *told


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
            await Callers(port, requests).in_turns(CALLERS, min(2.0, seconds))  # warms it up
            callers = Callers(port, requests)
            rate = await callers.in_turns(CALLERS, seconds)
            told = f"p50 {1000 * percentile(callers.tally.seconds, 0.5):.0f} ms"
            print(f"  {rate:.1f} answers/s, {told}, wrong {callers.tally.wrong}, lost {callers.tally.lost}")
            callers.close()
            return rate

        return asyncio.run(call())


def beside_infinity(seconds: float) -> None:
    """The same requests to infinity's server, which packs as well, and to ours: MiniLM in float32."""
    folder = model_folder()
    requests = workload(local_scorer(), _PASSAGES, path="/rerank")
    for size in ("32", "64", "128"):
        print(f"infinity, --batch-size {size}")
        model = ("--model-id", str(folder), "--served-model-name", MODEL, "--batch-size", size)
        capacity(requests, seconds, *model, command=_INFINITY, health="/health")
    print("nvrerank serve")
    capacity(requests, seconds)


def packing(scorer: LocalScorer, size: int, seconds: float) -> float:
    """The capacity, with and without packing across callers; returns the packed one."""
    print(f"{CALLERS} callers of {size} passages, each request computed by itself")
    requests = workload(scorer, size)
    alone = capacity(requests, seconds, "--batch-tokens", "1")
    print(f"{CALLERS} callers of {size} passages, packed")
    packed = capacity(requests, seconds)
    bound = without_a_server(scorer, size, seconds)
    print(f"  {packed / alone:.2f} times as many; the model without a server: {bound:.1f}/s")
    return packed


def overload(requests: list[Asked], seconds: float, times: int, peak: float) -> None:
    """A rate of several times the capacity, with an eye on health and memory."""
    with server() as (process, port):

        async def call() -> None:
            await Callers(port, requests).in_turns(CALLERS, min(5.0, seconds))
            callers = Callers(port, requests)
            here, there = multiprocessing.Pipe()
            watcher = multiprocessing.Process(target=_watch, args=(port, process.pid, there))
            watcher.start()
            goodput = await callers.at_a_rate(times * peak, seconds)
            here.send("over")
            live, memory = await asyncio.to_thread(here.recv)
            watcher.join()
            tally, middle = callers.tally, len(memory) // 2
            slow = [1000 * percentile(live, share) for share in (0.5, 0.99, 1)]
            print(f"  goodput {goodput:.1f}/s, {goodput / peak:.0%} of the peak; {dict(tally.statuses)}")
            print(f"  wrong {tally.wrong}, lost {tally.lost}, p99 {percentile(tally.seconds, 0.99):.1f} s")
            print(f"  live p50 {slow[0]:.1f}, p99 {slow[1]:.1f}, most {slow[2]:.1f} ms of {len(live)}")
            print(f"  memory at most {max(memory[:middle])}, then {max(memory[middle:])} MiB")
            callers.close()

        asyncio.run(call())


def _watch(port: int, pid: int, caller: Connection) -> None:
    """Times of health checks and the memory beside them, until the load and its last answers are over."""
    times, memory = [], []
    while not caller.poll(0.05):
        began = time.perf_counter()
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/health/live", timeout=30).read()
        times.append(time.perf_counter() - began)
        memory.append(_resident(pid))
    caller.send((times, memory))


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
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load; a third for packing")
    parser.add_argument("--infinity", action="store_true", help="only the same load beside infinity's server")
    given = parser.parse_args()
    seconds = given.seconds
    about = machine()
    print(f"{about['processor']}, {about['cores']} cores, Python {about['python']}")
    print(f"load before {about['load_before']:.1f}")
    if given.infinity:
        beside_infinity(seconds)
        return
    peak, scorer = 0.0, local_scorer()
    for size in (1, 3, _PASSAGES):
        peak = packing(scorer, size, seconds / 3)
    requests = workload(scorer, _PASSAGES)
    for times in (2, 10):
        print(f"{times} times the capacity for {seconds:g} s")
        overload(requests, seconds, times, peak)
    print(f"SIGTERM under {_IN_FLIGHT} requests")
    stop(requests)


if __name__ == "__main__":
    main()
