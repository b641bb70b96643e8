"""The parent's side of the workers: processes in other environments, asked one thing at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from bench.local.checkpoints import FOR_PEERS, CheckpointSpec
from bench.local.engines.base import BatchSettings
from bench.local.machine import CpuTimes, Load
from bench.local.peers import GEMM, REFERENCE, Peer, WorkerSpec
from bench.local.rounds import Configuration, Measurement
from bench.local.workloads import Workload

ROOT = Path(__file__).parents[3]
PAUSE = 0.1
"""Seconds after each measurement: threads that spin for a while after their work are asleep in the next."""
_THREADS = ("OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_NUM", "TORCH_", "ORT_", "OV_", "TOKENIZERS_")
_ALWAYS = dict.fromkeys(("HF_HUB_OFFLINE", "PYTHONUNBUFFERED", "DO_NOT_TRACK"), "1")
_ALWAYS["PYTHONPATH"] = str(ROOT / "shared")


class WorkerError(RuntimeError):
    """A library could not do what it was asked; the message is its own."""


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """A worker's: the parent's less every setting of threads, so that a peer has its own defaults."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_THREADS)}
    return {**kept, **_ALWAYS, **changes}


def python_of(venv: str, venvs: Path) -> Path:
    """The interpreter of a virtual environment; "" is the parent's own."""
    return venvs / venv / "bin" / "python" if venv else Path(sys.executable)


class WorkerProcess:
    """A worker; use it as a context manager, so that it ends with the measurement.

    `changes` are environment variables that it is given on purpose; what it prints goes to `log`.

    Raises:
        WorkerError: There is no such interpreter.
    """

    def __init__(self, python: Path, changes: Mapping[str, str], log: Path) -> None:
        if not python.exists():
            missing = python.parent.parent.name
            raise WorkerError(f"not installed: {missing} is missing (make bench sets it up)")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as errors:
            self._process = subprocess.Popen(  # noqa: S603 # our own module
                [python, "-m", "bench.local.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment(changes),
                cwd=ROOT,
            )
        self.pid = self._process.pid

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One request and its reply.

        Raises:
            WorkerError: The worker failed, or has ended.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise WorkerError("the worker has no pipes")
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerError("the worker has ended") from error
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"the worker has ended with status {self._process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        if "failed" in reply:
            raise WorkerError(reply["failed"])
        return reply

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Ends the process, by its own number."""
        try:
            self._process.communicate(timeout=5)  # closes its input, at which it ends
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


class WorkerPool:
    """All workers of a checkpoint, alive at once; they end when its block ends.

    `venvs` holds the virtual environments; the workers' output goes to `logs`.
    """

    def __init__(self, folder: Path, spec: CheckpointSpec, venvs: Path, logs: Path) -> None:
        self._folder, self._spec, self._venvs, self._logs = folder, spec, venvs, logs
        self._stack = ExitStack()
        self._workers: dict[str, WorkerProcess] = {}
        self.about: dict[str, dict[str, Any]] = {}  # versions and environment of each worker
        self.failed: dict[str, str] = {}  # why a worker could not start

    def __enter__(self) -> Self:
        sizes = {name: self._spec.config[f"{name}_size"] for name in ("hidden", "intermediate")}
        self._start(REFERENCE, {})
        self._start(GEMM, sizes)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def start(self, peers: Sequence[Peer]) -> None:
        """Starts every worker of the peers; what fails is in `failed`."""
        for worker in (worker for peer in peers for worker in peer.workers):
            try:
                self._start(worker, worker.options)
            except WorkerError as error:
                self.failed[worker.name] = str(error)

    def runs(self, worker: str) -> bool:
        """Whether this worker is there."""
        return worker in self._workers

    def why_not(self, peer: Peer) -> str | None:
        """Why a peer takes no part; None if its first worker runs."""
        return self.failed.get(peer.workers[0].name)

    def _start(self, worker: WorkerSpec, options: Mapping[str, Any]) -> None:
        log = self._logs / f"{self._folder.name}-{worker.name.replace(' ', '-')}.log"
        started = WorkerProcess(python_of(worker.venv, self._venvs), worker.environment, log)
        process = self._stack.enter_context(started)
        setup = {
            "folder": str(self._folder if worker.engine == "ours.Ours" else self._folder / FOR_PEERS),
            "first": self._spec.first,
            "second": self._spec.second,
            "max_length": self._spec.max_length,
            "options": dict(options),
        }
        about = process.ask({"engine": worker.engine, "replicas": worker.replicas, "setup": setup})
        self.about[worker.name] = {**about, "environment": dict(worker.environment)}
        self._workers[worker.name] = process

    def load(self, workload: Workload, workers: Iterable[str] | None = None) -> None:
        """Gives workers the texts; None: all of them."""
        for name in self._workers if workers is None else workers:
            self._workers[name].ask({"do": "load", "workload": workload.name, "groups": workload.groups})

    def lengths(self, workload: Workload) -> list[int]:
        """Tokens of each pair, by the reference."""
        reply = self._workers[REFERENCE.name].ask({"do": "lengths", "workload": workload.name})
        return [int(length) for length in reply["lengths"]]

    def reference(self, workload: Workload) -> list[list[float]]:
        """float32 scores of one pair at a time, by transformers."""
        return self._score(REFERENCE.name, workload, {"batch_size": 1})["scores"]  # type: ignore[no-any-return]

    def gemm(self, workload: Workload) -> list[float]:
        """GFLOP/s of a product of the model's shape on two threads, now, in each of `peers.PRECISIONS`."""
        rates = self._score(GEMM.name, workload, {})["scores"][0]
        time.sleep(PAUSE)
        return [float(rate) for rate in rates]

    def measure(
        self,
        configuration: Configuration,
        workload: Workload,
        *,
        gemm: Sequence[float] = (),
        busy_core: int | None = None,
    ) -> Measurement:
        """Scores a workload once, the machine's CPU times read before and after it; then a pause.

        Raises:
            WorkerError: It failed.
        """
        processes = [*(one.pid for one in self._workers.values()), *filter(None, [busy_core])]
        before, started = CpuTimes.now(processes), time.perf_counter()
        reply = self._score(configuration.worker, workload, configuration.settings)
        after, ended = CpuTimes.now(processes), time.perf_counter()
        own = self._workers[configuration.worker].pid
        load = Load.between(before, after, ended - started, own=own, busy_core=busy_core)
        time.sleep(PAUSE)
        return Measurement(reply["seconds"], reply["cpu"], load.as_dict(), list(gemm), reply["scores"])

    def _score(self, worker: str, workload: Workload, settings: BatchSettings) -> dict[str, Any]:
        return self._workers[worker].ask({"do": "score", "workload": workload.name, "settings": settings})
