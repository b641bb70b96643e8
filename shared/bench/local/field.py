"""All workers of a checkpoint, alive at once, and a turn of one of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from bench.local import load
from bench.local.checkpoints import PEERS as FOR_TRANSFORMERS
from bench.local.contestants import OURS, PROBE, REFERENCE, Peer, WorkerSpec
from bench.local.processes import WorkerError, WorkerProcess, python_of
from bench.local.rounds import Entrant, Turn, pause
from bench.local.shapes import Shape
from bench.local.workloads import Workload


class Field:
    """Starts workers, hands them jobs and plays their turns; ends them when its block ends.

    Args:
        folder: The checkpoint.
        shape: Its shape.
        venvs: Where the virtual environments lie.
        logs: Where the workers' output goes.
    """

    def __init__(self, folder: Path, shape: Shape, venvs: Path, logs: Path) -> None:
        self._folder, self._shape, self._venvs, self._logs = folder, shape, venvs, logs
        self._stack = ExitStack()
        self._workers: dict[str, WorkerProcess] = {}
        self.about: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._start(REFERENCE)
        self._start(PROBE)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def start(self, peers: Sequence[Peer]) -> None:
        """Starts every worker of the peers; what fails is in `failed`, by the worker's name."""
        for peer in peers:
            for spec in peer.workers:
                try:
                    self._start(spec)
                except WorkerError as error:
                    self.failed[spec.name] = str(error)

    def runs(self, worker: str) -> bool:
        """Whether this worker is there."""
        return worker in self._workers

    def _start(self, spec: WorkerSpec) -> None:
        log = self._logs / f"{self._folder.name}-{spec.name.replace(' ', '-')}.log"
        process = WorkerProcess(python_of(spec.venv, self._venvs), spec.environment, log)
        self._stack.callback(process.close)
        ours = spec.adapter == "ours"
        setup = {
            "folder": str(self._folder if ours else self._folder / FOR_TRANSFORMERS),
            "first": self._shape.first,
            "second": self._shape.second,
            "max_length": self._shape.max_length,
            "options": self._probe_options() if spec is PROBE else dict(spec.options),
        }
        about = process.ask({"adapter": spec.adapter, "twins": spec.twins, "setup": setup})
        self.about[spec.name] = {**about, "environment": dict(spec.environment) or "the library's defaults"}
        self._workers[spec.name] = process

    def _probe_options(self) -> dict[str, int]:
        return {"hidden": self._shape.hidden, "intermediate": self._shape.intermediate}

    def hand_out(self, workload: Workload, workers: Iterable[str] | None = None) -> None:
        """Gives workers the jobs; None: all of them."""
        for name in self._workers if workers is None else workers:
            self._workers[name].ask({"do": "load", "workload": workload.name, "jobs": workload.jobs})

    def lengths(self, workload: Workload) -> list[int]:
        """Tokens of each pair, by the reference."""
        reply = self._workers[REFERENCE.name].ask({"do": "lengths", "workload": workload.name})
        return [int(length) for length in reply["lengths"]]

    def reference(self, workload: Workload) -> list[list[float]]:
        """float32 scores of one pair at a time, by transformers."""
        return self._score(REFERENCE.name, workload, {"batch_size": 1})["scores"]  # type: ignore[no-any-return]

    def probe(self, workload: Workload) -> float:
        """GFLOP/s of a float32 matrix multiplication of the model's shape, two threads, now."""
        rate = self._score(PROBE.name, workload, {})["scores"][0][0]
        pause()
        return float(rate)

    def turn(self, entrant: Entrant, workload: Workload, *, gemm: float, spinner: int | None) -> Turn:
        """An entrant's turn, the machine's accounts read before and after it, and a pause.

        Raises:
            WorkerError: It failed.
        """
        worker = self._workers[entrant.worker]
        processes = [one.pid for one in self._workers.values()] + ([spinner] if spinner else [])
        before, started = load.read(processes), time.perf_counter()
        reply = self._score(entrant.worker, workload, entrant.settings)
        after, ended = load.read(processes), time.perf_counter()
        shares = load.between(before, after, ended - started, own=worker.pid, spinner=spinner)
        pause()
        return Turn(reply["seconds"], reply["cpu"], shares.as_dict(), gemm, reply["scores"])

    def _score(self, worker: str, workload: Workload, settings: dict[str, Any]) -> dict[str, Any]:
        return self._workers[worker].ask({"do": "score", "workload": workload.name, "settings": settings})


def why_not(peer: Peer, field: Field) -> str | None:
    """Why a peer takes no part; None if its first worker runs."""
    return None if field.runs(peer.workers[0].name) else field.failed[peer.workers[0].name]


def is_ours(peer: Peer) -> bool:
    """Whether a peer is nvrerank in float32, which all ratios are taken to."""
    return peer.name == OURS
