"""Who used the processors while a contestant had its turn: the kernel's own accounts, before and after.

The decisions are pure; `read` alone looks at /proc (Linux), in steps of a hundredth of a second.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

CONTAMINATED = 0.10
"""Cores that others may use, as a share of a turn's time, before its figures count as contaminated."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Account:
    """CPU seconds used so far.

    Attributes:
        busy: By everything on the machine.
        stolen: Given to other machines by the host.
        by_process: By each process that we know.
    """

    busy: float
    stolen: float
    by_process: dict[int, float]


@dataclass(frozen=True)
class Load:
    """Cores used during one turn; 1.0 is one core all the time.

    Attributes:
        own: By the contestant.
        idle_workers: By the contestants whose turn it was not.
        spinner: By the process that takes a core on purpose.
        others: By anything else on the machine.
        stolen: By other machines on the same host.
    """

    own: float
    idle_workers: float
    spinner: float
    others: float
    stolen: float

    @property
    def contaminated(self) -> bool:
        """Whether something that does not belong to the measurement took part."""
        return self.others + self.stolen > CONTAMINATED or self.idle_workers > CONTAMINATED

    def as_dict(self) -> dict[str, float | bool]:
        """For JSON."""
        return {**asdict(self), "contaminated": self.contaminated}


def read(processes: Sequence[int]) -> Account:
    """The accounts of the machine and of processes; one that has ended counts as 0."""
    user, nice, system, _idle, _wait, hard, soft, stolen = cpu_fields(
        Path("/proc/stat").read_text(encoding="ascii")
    )
    return Account(
        busy=user + nice + system + hard + soft,
        stolen=stolen,
        by_process={process: _used_by(process) for process in processes},
    )


def cpu_fields(stat: str) -> list[float]:
    """The first line of /proc/stat in seconds: user, nice, system, idle, iowait, irq, softirq, steal."""
    return [int(ticks) / _TICKS for ticks in stat.splitlines()[0].split()[1:9]]


def process_seconds(stat: str) -> float:
    """CPU seconds of a process and of its children that have ended, from its /proc/PID/stat."""
    after_name = stat.rpartition(")")[2].split()  # a name may hold blanks and parentheses
    return sum(int(ticks) for ticks in after_name[11:15]) / _TICKS


def _used_by(process: int) -> float:
    try:
        return process_seconds(Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def between(before: Account, after: Account, seconds: float, *, own: int, spinner: int | None = None) -> Load:
    """What was used between two readings.

    Args:
        before: At the turn's start.
        after: At its end.
        seconds: Wall time between them.
        own: The contestant's process; all others known, but for the spinner, are idle workers.
        spinner: The process that takes a core on purpose.
    """
    used = {process: after.by_process[process] - before.by_process[process] for process in after.by_process}
    spun = used.pop(spinner, 0.0) if spinner is not None else 0.0
    mine = used.pop(own, 0.0)
    idle = sum(used.values())
    others = max(0.0, after.busy - before.busy - mine - idle - spun)
    parts = (mine, idle, spun, others, after.stolen - before.stolen)
    return Load(*(part / seconds for part in parts))
