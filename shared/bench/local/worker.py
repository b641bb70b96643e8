"""One contestant in a process of its own: JSON lines in, JSON lines out.

It runs in the contestant's own virtual environment, so it imports the standard library and, by name, one
adapter. Between two requests it waits for a line and does nothing else.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from importlib import import_module
from typing import IO, Any

from bench.local.adapters.base import Adapter, Setup
from bench.local.adapters.twins import Twins


class Worker:
    """Answers requests; holds the adapter and the jobs it was given."""

    def __init__(self, spec: dict[str, Any]) -> None:
        setup = Setup(**spec["setup"])
        make = import_module(f"bench.local.adapters.{spec['adapter']}").make
        twins = int(spec.get("twins", 1))
        self._adapter: Adapter = Twins([make(setup) for _ in range(twins)]) if twins > 1 else make(setup)
        self._jobs: dict[str, list[tuple[str, list[str]]]] = {}

    def about(self) -> dict[str, Any]:
        """What runs here: versions and the like."""
        return self._adapter.about()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request: "load", "tell" (anything else an adapter offers) or "score"."""
        if request["do"] == "load":
            self._jobs[request["workload"]] = [(query, texts) for query, texts in request["jobs"]]
            return {}
        jobs = self._jobs[request["workload"]]
        if request["do"] == "lengths":
            return {"lengths": self._adapter.lengths(jobs)}
        self._adapter.configure(request["settings"])
        wall, cpu = time.perf_counter(), time.process_time()
        scores = self._adapter.score(jobs)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return {"scores": scores, "seconds": wall, "cpu": cpu}


def main() -> None:
    """Serves until its input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not get between the replies
    started: Worker | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if started is None:
                started = Worker(request)
                reply = started.about()
            else:
                reply = started.answer(request)
        except Exception as error:  # noqa: BLE001 # whatever a peer raises belongs in the report
            traceback.print_exc()
            _send(replies, {"failed": " ".join(f"{type(error).__name__}: {error}".split())[:200]})
            continue
        _send(replies, reply)


def _send(replies: IO[str], reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
