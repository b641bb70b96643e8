"""The first second: a new process from its start to its first ranking, in seconds and megabytes.

Every program runs in its library's own environment, in turns, with its files in the system's cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

from bench.local.checkpoints import FOR_PEERS, made
from bench.local.pool import ROOT, environment, python_of
from bench.local.workloads import QUERIES, documentation

_TEXTS = f"query, texts = {QUERIES[0]!r}, {documentation(10, words=40)!r}"
_PEER = (
    "from bench.local.engines.{module} import {name} as Engine; from bench.local.engines.base import Setup"
)
_RANK = (
    "one = Engine(Setup({folder!r}, '{{query}}', '{{passage}}', 512)); one.configure({{'batch_size': 32}})"
)
PROGRAMS = {  # what runs, and where
    "Python alone": ("pass", ""),
    "torch alone": ("import torch", ""),
    "nvrerank": ("from nvrerank import LocalScorer, rerank; rerank(LocalScorer(), query, texts)", ""),
    "sentence-transformers": ("cross_encoder.SentenceTransformers", ".venv-peers"),
    "FlashRank": ("flash_rank.FlashRank", ".venv-peers"),
}


def main() -> None:
    """Prints the median seconds and the most memory of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="after one to warm up")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench")
    parser.add_argument("--venvs", type=Path, default=ROOT)
    given = parser.parse_args()
    folder, _ = made("minilm", given.out / "models", layers=None)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in PROGRAMS}
    for _ in range(given.rounds + 1):
        for name, (code, venv) in PROGRAMS.items():
            taken[name].append(_run(_program(code, str(folder / FOR_PEERS)), python_of(venv, given.venvs)))
    for name, all_of_it in taken.items():
        seconds, megabytes = zip(*all_of_it[1:], strict=True)
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"{name:22} {statistics.median(seconds):.2f} s ({spread}), {max(megabytes):.0f} MB")


def _program(code: str, folder: str) -> str:
    module, dot, name = code.partition(".")
    if dot and name.isidentifier():
        code = "; ".join((_PEER.format(module=module, name=name), _RANK.format(folder=folder)))
        code += "; one.score([(query, texts)])"
    return f"{_TEXTS}; {code}"


def _run(program: str, python: Path) -> tuple[float, float]:
    """Seconds and megabytes (the most that was resident) of one process."""
    started = time.perf_counter()
    pid = os.posix_spawn(python, [str(python), "-c", program], environment({}))
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{python}: ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
