"""A peer's best settings on a workload: each once, the quickest three twice more, the median decides.

Batch sizes are tried upwards. Where one takes `HOPELESS` times as long as a smaller one did, on the same
worker and in the same order, larger ones are not tried: padding only grows.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.local.contestants import Peer
from bench.local.rounds import Entrant

FINALISTS = 3
HOPELESS = 1.5
Found = dict[str, Any]


def candidates(peer: Peer, runs: Callable[[str], bool]) -> list[Entrant]:
    """Every setting on every worker of the peer that runs."""
    return [
        Entrant(f"{worker.name} {settings}", peer.name, worker.name, settings, peer.precision, "best")
        for worker in peer.workers
        if runs(worker.name)
        for settings in peer.sweep
    ]


def best(entrants: Iterable[Entrant], seconds: Callable[[Entrant], float]) -> Found | None:
    """The quickest of the candidates, with what each took; None without any that ran.

    Args:
        entrants: The candidates.
        seconds: Plays one turn and says how long it took; RuntimeError where it failed.
    """
    times: dict[str, list[float]] = {}
    quickest: dict[tuple[str, object], float] = {}
    hopeless: set[tuple[str, object]] = set()
    by_label = {entrant.label: entrant for entrant in entrants}
    for entrant in by_label.values():
        family = entrant.worker, entrant.settings.get("by_length")
        if family in hopeless:
            continue
        try:
            taken = seconds(entrant)
        except RuntimeError:
            continue
        times[entrant.label] = [taken]
        quickest[family] = min(taken, quickest.get(family, taken))
        if taken > HOPELESS * quickest[family]:
            hopeless.add(family)
    finalists = sorted(times, key=lambda label: times[label])[:FINALISTS]
    for _again in range(2):
        for label in finalists:
            times[label].append(seconds(by_label[label]))
    if not finalists:
        return None
    winner = by_label[min(finalists, key=lambda label: statistics.median(times[label]))]
    return {"worker": winner.worker, "settings": winner.settings, "tried": times}


class Settings:
    """What was found, kept in a file, so that it is looked for once.

    Args:
        file: JSON; need not be there yet.
        mode: "quiet" or "contended": what is best differs.
    """

    def __init__(self, file: Path, mode: str) -> None:
        self._file, self._mode = file, mode
        self._known: dict[str, Found] = json.loads(file.read_text()) if file.exists() else {}

    def get(self, workload: str, peer: str, *, other_mode: bool) -> Found | None:
        """What was found before; of the other mode if that is allowed and there is none of this."""
        found = self._known.get(f"{self._mode} {workload} {peer}")
        return self._known.get(f"quiet {workload} {peer}") if found is None and other_mode else found

    def put(self, workload: str, peer: str, found: Found) -> None:
        """Keeps it."""
        self._known[f"{self._mode} {workload} {peer}"] = found
        self._file.write_text(json.dumps(self._known, indent=1))
