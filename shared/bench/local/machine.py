"""The machine: what it is, who uses its processors, and how one of them is kept busy on purpose."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

CONTAMINATED = 0.10
"""Cores that others may use, as a share of a measurement's time, before it counts as contaminated."""
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "avx_vnni")
_BUSY_LOOP = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(1_000_000):
        pass
"""


def machine() -> dict[str, Any]:
    """Processor, cores, memory, Python: nothing that names the host."""
    file = Path("/proc/cpuinfo")  # Linux; elsewhere less is known
    cpus = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    named = re.findall(r"^model name\s*: (.*)$", cpus, re.MULTILINE)
    flags = " ".join(re.findall(r"^flags\s*: (.*)$", cpus, re.MULTILINE)[:1]).split()
    return {
        "processor": named[0] if named else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "features": [flag for flag in _FEATURES if flag in flags],
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


@dataclass(frozen=True)
class CpuTimes:
    """CPU seconds used so far."""

    busy: float  # by everything on the machine
    stolen: float  # given to other machines by the host
    by_process: dict[int, float]  # by each process that we know and its ended children; 0 once it has ended

    @classmethod
    def now(cls, processes: Sequence[int]) -> CpuTimes:
        """The times of the machine and of processes."""
        all_ = psutil.cpu_times()._asdict()
        busy = sum(all_.get(kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq"))
        return cls(busy, all_.get("steal", 0.0), {process: _used_by(process) for process in processes})


def _used_by(process: int) -> float:
    try:
        return float(sum(psutil.Process(process).cpu_times()[:4]))
    except psutil.NoSuchProcess:
        return 0.0


@dataclass(frozen=True)
class Load:
    """Cores used during one measurement; 1.0 is one core all the time."""

    own: float  # by the library that is measured
    idle_workers: float  # by the others, whose turn it is not
    busy_core: float  # by the process that takes a core on purpose
    others: float  # by anything else on the machine
    stolen: float  # by other machines on the same host

    @classmethod
    def between(
        cls, before: CpuTimes, after: CpuTimes, seconds: float, *, own: int, busy_core: int | None = None
    ) -> Load:
        """What was used between two readings so many seconds apart.

        `own` is the measured process; all others known, but for the busy core's, are idle workers.
        """
        used = {one: after.by_process[one] - before.by_process[one] for one in after.by_process}
        busy = used.pop(busy_core, 0.0) if busy_core is not None else 0.0
        mine = used.pop(own, 0.0)
        idle = sum(used.values())
        others = max(0.0, after.busy - before.busy - mine - idle - busy)
        parts = (mine, idle, busy, others, after.stolen - before.stolen)
        return cls(*(part / seconds for part in parts))

    @property
    def contaminated(self) -> bool:
        """Whether something that does not belong to the measurement took part."""
        return self.others + self.stolen > CONTAMINATED or self.idle_workers > CONTAMINATED

    def as_dict(self) -> dict[str, float | bool]:
        """For JSON."""
        return {**asdict(self), "contaminated": self.contaminated}


@contextmanager
def busy_core(*, wanted: bool) -> Iterator[int | None]:
    """Keeps a core busy while the block runs; yields the process's number, or None if none is wanted."""
    if not wanted:
        yield None
        return
    process = subprocess.Popen([sys.executable, "-c", _BUSY_LOOP, str(os.getpid())])  # noqa: S603 # ours
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()
