"""The parent's side of a worker: a process in another environment, asked one thing at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "shared"
_THREADS = ("OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_NUM", "TORCH_", "ORT_", "OV_", "TOKENIZERS_")
_ALWAYS = {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "DO_NOT_TRACK": "1"}


class WorkerError(RuntimeError):
    """A contestant could not do what it was asked; the message is its own."""


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """A worker's: the parent's less every setting of threads, so that a peer has its own defaults."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_THREADS)}
    return {**kept, **_ALWAYS, "PYTHONPATH": str(SOURCES), **changes}


def python_of(venv: str, venvs: Path) -> Path:
    """The interpreter of a virtual environment; "" is the parent's own."""
    return venvs / venv / "bin" / "python" if venv else Path(sys.executable)


class WorkerProcess:
    """A worker; use it as a context manager, so that it ends with the measurement.

    Args:
        python: Its interpreter.
        changes: Environment variables that it is given on purpose.
        log: What it writes to its output and error streams.

    Raises:
        WorkerError: There is no such interpreter.
    """

    def __init__(self, python: Path, changes: Mapping[str, str], log: Path) -> None:
        if not python.exists():
            raise WorkerError(
                f"not installed: {python.parent.parent.name} is missing (make bench sets it up)"
            )
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

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

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

    def close(self) -> None:
        """Ends the process, by its own number."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
