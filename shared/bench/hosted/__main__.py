"""`make bench-hosted`: what hosted scoring holds under faults, outages, cancellation and load.

The server is the tests' fake NIM, in a process of its own on 127.0.0.1. Each scenario returns what it
measured and whether that is what it has to hold; the last line says whether all did.

    python -m bench.hosted [SCENARIO ...]
"""

from __future__ import annotations

import os
import platform
import sys

from bench.hosted.cost import against_the_official_classes, overhead, ten_thousand
from bench.hosted.faults import cancellations, cancelled_slot, faults_10_percent, faults_25_percent, outage
from bench.hosted.sharing import forks, loops, threads

FAULTS = (faults_10_percent, faults_25_percent, outage, cancellations, cancelled_slot)
SCENARIOS = (*FAULTS, loops, forks, threads, against_the_official_classes, overhead, ten_thousand)


def main(names: list[str]) -> int:
    """Runs the scenarios named, or all, and prints a table."""
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| scenario | to hold | measured | holds |\n|---|---|---|---|")
    held = True
    for scenario in SCENARIOS:
        if names and scenario.__name__ not in names:
            continue
        finding = scenario()
        held &= finding.holds
        promise, verdict = (scenario.__doc__ or "").rstrip("."), "yes" if finding.holds else "NO"
        print(f"| {promise} | {finding.measured} | {verdict} |", flush=True)
    print("\nall hold" if held else "\nNOT ALL HOLD")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
