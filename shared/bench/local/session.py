"""A workload from beginning to end: reference scores, best settings, rounds, a file of raw figures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.local.contestants import Peer, WorkerSpec
from bench.local.field import Field, is_ours, why_not
from bench.local.machine import machine
from bench.local.rounds import Entrant, play
from bench.local.shapes import Shape, linear_flops
from bench.local.spin import spinning
from bench.local.tuning import Settings, best, candidates
from bench.local.workloads import Workload


class Session:
    """Measures workloads of one checkpoint, one after the other.

    Args:
        field: The workers, started.
        shape: The checkpoint's.
        peers: Who takes part; ours first.
        out: Where `results/` and the settings found are kept.
        rounds: How many count.
        contended: Whether a spinning process takes a core.
        tune: "missing", "again" or "never".
        tell: Gets a line now and then.
    """

    def __init__(
        self,
        field: Field,
        shape: Shape,
        peers: Sequence[Peer],
        out: Path,
        rounds: int,
        *,
        contended: bool,
        tune: str,
        tell: Callable[[str], None],
    ) -> None:
        self._field, self._shape, self._peers, self._out = field, shape, peers, out
        self._rounds, self._contended, self._tune, self._tell = rounds, contended, tune, tell
        self._mode = "contended" if contended else "quiet"
        self._settings = Settings(out / "settings.json", self._mode)

    def run(self, workload: Workload) -> None:
        """Measures one and writes its file."""
        self._field.hand_out(workload)
        lengths, reference = self._field.lengths(workload), self._field.reference(workload)
        with spinning(wanted=self._contended) as spinner:
            entrants = self._entrants(workload, spinner)
            turns, failed = play(
                entrants,
                self._rounds,
                lambda entrant, gemm: self._field.turn(entrant, workload, gemm=gemm, spinner=spinner),
                lambda: self._field.probe(workload),
                lambda line: self._tell(f"{workload.name}, {self._mode}: {line}"),
            )
        work = {
            "workload": workload.name,
            "title": workload.title,
            "tokens": lengths,
            "flops": linear_flops(self._shape, lengths),
            "reference": reference,
            "entrants": [asdict(entrant) for entrant in entrants if entrant.label in turns],
            "turns": {label: [asdict(turn) for turn in mine] for label, mine in turns.items()},
        }
        self._write(workload.name, {**work, **self._circumstances(failed)})

    def _entrants(self, workload: Workload, spinner: int | None) -> list[Entrant]:
        entrants: list[Entrant] = []
        for peer in self._peers:
            if why_not(peer, self._field) is not None:
                continue
            kind = "ours" if is_ours(peer) else "default"
            label = peer.name if kind == "ours" or not peer.sweep else f"{peer.name}, default"
            entrants.append(
                Entrant(label, peer.name, peer.workers[0].name, peer.default, peer.precision, kind)
            )
            for worker in peer.workers if peer.sweep else ():
                entrants += self._best(peer, worker, workload, spinner)
        return entrants

    def _best(self, peer: Peer, worker: WorkerSpec, workload: Workload, spinner: int | None) -> list[Entrant]:
        """The worker's row at its best settings; none where those are the peer's defaults."""
        if not self._field.runs(worker.name):
            return []
        found = None
        if self._tune != "again":
            found = self._settings.get(workload.tuned_as, worker.name, other_mode=self._tune == "never")
        if found is None and self._tune != "never":
            self._tell(f"{workload.name}: looking for the best settings of {worker.name}")
            rehearsal = workload.rehearsal
            self._field.hand_out(rehearsal, [worker.name])
            found = best(
                candidates(peer, worker),
                lambda entrant: self._field.turn(entrant, rehearsal, gemm=0, spinner=spinner).seconds,
            )
            if found is not None:
                self._settings.put(workload.tuned_as, worker.name, found)
        if found is None or (worker is peer.workers[0] and found["settings"] == peer.default):
            return []
        return [
            Entrant(f"{worker.name}, best", peer.name, worker.name, found["settings"], peer.precision, "best")
        ]

    def _circumstances(self, failed: dict[str, str]) -> dict[str, Any]:
        absent = {peer.name: why_not(peer, self._field) for peer in self._peers}
        return {
            "mode": self._mode,
            "layers": self._shape.layers,
            "taken": time.strftime("%Y-%m-%d %H:%M"),
            "machine": machine(),
            "workers": self._field.about,
            "not_run": {name: reason for name, reason in absent.items() if reason} | failed,
        }

    def _write(self, name: str, result: dict[str, Any]) -> None:
        folder = self._out / "results"
        folder.mkdir(exist_ok=True)
        file = folder / f"{name}-{self._shape.layers}-{self._mode}.json"
        file.write_text(json.dumps(result, indent=1))
