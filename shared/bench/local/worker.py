"""One library in a process of its own: JSON lines in, JSON lines out.

It runs in the library's own virtual environment, so it imports the standard library and, by name, one
engine. Between two requests it waits for a line and does nothing else.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from importlib import import_module
from typing import Any

from bench.local.engines.base import Engine, Setup
from bench.local.engines.replicas import Replicas
from bench.local.workloads import QueryGroup


class Worker:
    """Answers requests; holds the engine and the workloads it was given."""

    def __init__(self, spec: dict[str, Any]) -> None:
        setup, count = Setup(**spec["setup"]), int(spec.get("replicas", 1))
        module, _, name = spec["engine"].partition(".")
        make = getattr(import_module(f"bench.local.engines.{module}"), name)
        self._engine: Engine = Replicas([make(setup) for _ in range(count)]) if count > 1 else make(setup)
        self._workloads: dict[str, list[QueryGroup]] = {}

    def about(self) -> dict[str, Any]:
        """Versions of the packages that do the work."""
        return self._engine.about()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request: "load", "lengths" or "score"."""
        if request["do"] == "load":
            self._workloads[request["workload"]] = [(query, texts) for query, texts in request["groups"]]
            return {}
        groups = self._workloads[request["workload"]]
        if request["do"] == "lengths":
            return {"lengths": self._engine.lengths(groups)}
        self._engine.configure(request["settings"])
        wall, cpu = time.perf_counter(), time.process_time()
        scores = self._engine.score(groups)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return {"scores": scores, "seconds": wall, "cpu": cpu}


def main() -> None:
    """Serves until its input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not get between the replies
    worker: Worker | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if worker is None:
                worker = Worker(request)
                reply = worker.about()
            else:
                reply = worker.answer(request)
        except Exception as error:  # noqa: BLE001 # whatever a library raises belongs in the report
            traceback.print_exc()
            reply = {"failed": " ".join(f"{type(error).__name__}: {error}".split())[:200]}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
