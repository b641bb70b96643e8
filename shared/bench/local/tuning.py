"""A worker's best settings on a workload: each once, the quickest three twice more, the median decides.

Batch sizes are tried upwards. Where one takes `HOPELESS` times as long as a smaller one did in the same
order, larger ones are not tried: padding only grows.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.local.peers import Peer, WorkerSpec
from bench.local.rounds import Configuration

FINALISTS = 3
HOPELESS = 1.5
Tuned = dict[str, Any]
"""`worker`, `settings`, and what each setting that was tried took."""


def candidates(peer: Peer, worker: WorkerSpec) -> list[Configuration]:
    """Every setting of the peer on one of its workers."""
    return [
        Configuration(f"{worker.name} {settings}", peer.name, worker.name, settings, peer.precision, "best")
        for settings in peer.sweep
    ]


def quickest(tried: Sequence[Configuration], seconds: Callable[[Configuration], float]) -> Tuned | None:
    """The quickest of a worker's candidates, with what each took; None without any that ran.

    `seconds` measures one and says how long it took; RuntimeError where it failed.
    """
    by_label = {one.label: one for one in tried}
    times = _tried_once(tried, seconds)
    finalists = sorted(times, key=lambda label: times[label])[:FINALISTS]
    for label in finalists * 2:
        times[label].append(seconds(by_label[label]))
    if not finalists:
        return None
    winner = by_label[min(finalists, key=lambda label: statistics.median(times[label]))]
    return {"worker": winner.worker, "settings": winner.settings, "tried": times}


def _tried_once(
    tried: Sequence[Configuration], seconds: Callable[[Configuration], float]
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {}
    least: dict[object, float] = {}
    hopeless: set[object] = set()
    for one in tried:
        order = one.settings.get("by_length")
        if order in hopeless:
            continue
        try:
            taken = seconds(one)
        except RuntimeError:
            continue
        times[one.label] = [taken]
        least[order] = min(taken, least.get(order, taken))
        if taken > HOPELESS * least[order]:
            hopeless.add(order)
    return times


class TuningCache:
    """What was found in a mode ("quiet" or "contended"), kept in a file, so that it is looked for once."""

    def __init__(self, file: Path, mode: str) -> None:
        self._file, self._mode = file, mode
        self._known: dict[str, Tuned] = json.loads(file.read_text()) if file.exists() else {}

    def get(self, workload: str, worker: str, *, other_mode: bool) -> Tuned | None:
        """What was found before; of the quiet mode if that is allowed and there is none of this."""
        found = self._known.get(f"{self._mode} {workload} {worker}")
        return self._known.get(f"quiet {workload} {worker}") if found is None and other_mode else found

    def put(self, workload: str, worker: str, found: Tuned) -> None:
        """Keeps it."""
        self._known[f"{self._mode} {workload} {worker}"] = found
        self._file.write_text(json.dumps(self._known, indent=1))
