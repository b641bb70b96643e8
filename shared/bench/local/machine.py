"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

_TELLING = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "avx_vnni")


def machine() -> dict[str, Any]:
    """Processor, cores, memory, Python: nothing that names the host."""
    cpus = _text("/proc/cpuinfo")
    flags = set(" ".join(re.findall(r"^flags\s*: (.*)$", cpus, re.MULTILINE)[:1]).split())
    named = re.findall(r"^model name\s*: (.*)$", cpus, re.MULTILINE)
    memory = re.findall(r"^MemTotal:\s*(\d+) kB", _text("/proc/meminfo"), re.MULTILINE)
    return {
        "processor": named[0] if named else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "features": [flag for flag in _TELLING if flag in flags],
        "memory_gib": round(int(memory[0]) / 2**20) if memory else None,
        "python": sys.version.split()[0],
        "load_before": os.getloadavg()[0],
    }


def _text(path: str) -> str:
    file = Path(path)
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
