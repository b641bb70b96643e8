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

from bench.local.contestants import Peer, WorkerSpec
from bench.local.rounds import Entrant

FINALISTS = 3
HOPELESS = 1.5
Found = dict[str, Any]


def candidates(peer: Peer, worker: WorkerSpec) -> list[Entrant]:
    """Every setting of the peer on one of its workers."""
    return [
        Entrant(f"{worker.name} {settings}", peer.name, worker.name, settings, peer.precision, "best")
        for settings in peer.sweep
    ]


def best(entrants: Sequence[Entrant], seconds: Callable[[Entrant], float]) -> Found | None:
    """The quickest of the candidates, with what each took; None without any that ran.

    Args:
        entrants: The candidates, on one worker.
        seconds: Plays one turn and says how long it took; RuntimeError where it failed.
    """
    times: dict[str, list[float]] = {}
    quickest: dict[object, float] = {}
    hopeless: set[object] = set()
    by_label = {entrant.label: entrant for entrant in entrants}
    for entrant in by_label.values():
        order = entrant.settings.get("by_length")
        if order in hopeless:
            continue
        try:
            taken = seconds(entrant)
        except RuntimeError:
            continue
        times[entrant.label] = [taken]
        quickest[order] = min(taken, quickest.get(order, taken))
        if taken > HOPELESS * quickest[order]:
            hopeless.add(order)
    finalists = sorted(times, key=lambda label: times[label])[:FINALISTS]
    for _again in range(2):
        for label in finalists:
            times[label].append(seconds(by_label[label]))
    if not finalists:
        return None
    winner = min(finalists, key=lambda label: statistics.median(times[label]))
    return {"settings": by_label[winner].settings, "tried": times}


class Settings:
    """What was found, kept in a file, so that it is looked for once.

    Args:
        file: JSON; need not be there yet.
        mode: "quiet" or "contended": what is best differs.
    """

    def __init__(self, file: Path, mode: str) -> None:
        self._file, self._mode = file, mode
        self._known: dict[str, Found] = json.loads(file.read_text()) if file.exists() else {}

    def get(self, workload: str, worker: str, *, other_mode: bool) -> Found | None:
        """What was found before; of the other mode if that is allowed and there is none of this."""
        found = self._known.get(f"{self._mode} {workload} {worker}")
        return self._known.get(f"quiet {workload} {worker}") if found is None and other_mode else found

    def put(self, workload: str, worker: str, found: Found) -> None:
        """Keeps it."""
        self._known[f"{self._mode} {workload} {worker}"] = found
        self._file.write_text(json.dumps(self._known, indent=1))
