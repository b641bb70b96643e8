"""A workload from beginning to end: reference scores, best settings, rounds, a file of raw figures."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.local.checkpoints import CheckpointSpec, linear_flops
from bench.local.machine import busy_core, machine
from bench.local.peers import OURS, Peer, WorkerSpec
from bench.local.pool import WorkerPool
from bench.local.rounds import Configuration, run_rounds
from bench.local.tuning import TuningCache, candidates, quickest
from bench.local.workloads import Workload

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Benchmark:
    """Measures workloads of one checkpoint, one after the other, on workers that are started."""

    pool: WorkerPool
    spec: CheckpointSpec
    peers: Sequence[Peer]  # ours first
    out: Path  # where `results/` and the settings found are kept
    rounds: int  # that count
    contended: bool  # whether another process keeps a core busy
    tune: str  # "missing", "again" or "never"

    @property
    def mode(self) -> str:
        """The machine's: "quiet" or "contended"."""
        return "contended" if self.contended else "quiet"

    @cached_property
    def _tuned(self) -> TuningCache:
        return TuningCache(self.out / "settings.json", self.mode)

    def run(self, workload: Workload) -> None:
        """Measures one and writes its file."""
        log.info("%s, %s", workload.name, self.mode)
        self.pool.load(workload)
        lengths, reference = self.pool.lengths(workload), self.pool.reference(workload)
        with busy_core(wanted=self.contended) as busy:
            rows = self._configurations(workload, busy)
            measured, failed = run_rounds(
                rows,
                self.rounds,
                lambda one, gemm: self.pool.measure(one, workload, gemm=gemm, busy_core=busy),
                lambda: self.pool.gemm(workload),
            )
        absent = {peer.name: reason for peer in self.peers if (reason := self.pool.why_not(peer))}
        result = {
            "workload": workload.name,
            "title": workload.title,
            "tokens": lengths,
            "flops": linear_flops(self.spec, lengths),
            "reference": reference,
            "configurations": [asdict(one) for one in rows if one.label in measured],
            "measurements": {label: [asdict(one) for one in mine] for label, mine in measured.items()},
            "mode": self.mode,
            "layers": self.spec.layers,
            "taken": time.strftime("%Y-%m-%d %H:%M"),
            "machine": machine(),
            "workers": self.pool.about,
            "not_run": absent | failed,
        }
        self._write(workload.name, result)

    def _write(self, name: str, result: dict[str, Any]) -> None:
        folder = self.out / "results"
        folder.mkdir(exist_ok=True)
        file = folder / f"{name}-{self.spec.layers}-{self.mode}.json"
        file.write_text(json.dumps(result, indent=1))

    def _configurations(self, workload: Workload, busy: int | None) -> list[Configuration]:
        rows: list[Configuration] = []
        for peer in self.peers:
            if self.pool.why_not(peer) is not None:
                continue
            kind = "ours" if peer.name == OURS else "default"
            label = f"{peer.name}, default" if peer.sweep else peer.name
            worker = peer.workers[0].name
            rows.append(Configuration(label, peer.name, worker, peer.default, peer.precision, kind))
            for one in peer.workers if peer.sweep else ():
                rows += self._best(peer, one, workload, busy)
        return rows

    def _best(
        self, peer: Peer, worker: WorkerSpec, workload: Workload, busy: int | None
    ) -> list[Configuration]:
        """The worker's row at its best settings; none where those are the peer's defaults."""
        if not self.pool.runs(worker.name):
            return []
        found = None
        if self.tune != "again":
            found = self._tuned.get(workload.tuned_as, worker.name, other_mode=self.tune == "never")
        if found is None and self.tune != "never":
            log.info("%s: looking for the best settings of %s", workload.name, worker.name)
            part = workload.tuning_part
            self.pool.load(part, [worker.name])
            found = quickest(
                candidates(peer, worker), lambda one: self.pool.measure(one, part, busy_core=busy).seconds
            )
            if found is not None:
                self._tuned.put(workload.tuned_as, worker.name, found)
        if found is None or (worker is peer.workers[0] and found["settings"] == peer.default):
            return []
        label, settings = f"{worker.name}, best", found["settings"]
        return [Configuration(label, peer.name, worker.name, settings, peer.precision, "best")]
