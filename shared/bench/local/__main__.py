"""`make bench`: runs the rounds of each workload and writes table, chart and raw figures."""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from bench.local import bar_chart, comparison
from bench.local.benchmark import Benchmark
from bench.local.checkpoints import made
from bench.local.engines.ours import default_precision
from bench.local.peers import chosen
from bench.local.pool import ROOT, WorkerPool
from bench.local.workloads import Workload, workloads

log = logging.getLogger(__name__)


def main() -> None:
    """Runs what the command line asks for."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    arguments.out.mkdir(parents=True, exist_ok=True)
    if not arguments.report_only:
        for checkpoint, some in groupby(_wanted(arguments.workloads), key=lambda one: one.checkpoint):
            _measure(checkpoint, list(some), arguments)
    results = comparison.read_all(arguments.out / "results")
    text = comparison.markdown(results)
    (arguments.out / "report.md").write_text(text)
    bar_chart.draw(results, arguments.out / "report.png")
    print(text)


def _measure(checkpoint: str, some: list[Workload], arguments: argparse.Namespace) -> None:
    folder, spec = made(checkpoint, arguments.out / "models", layers=arguments.layers)
    peers = chosen(arguments.peers, checkpoint, default_precision())
    if arguments.one_worker:
        peers = [replace(peer, workers=peer.workers[:1]) for peer in peers]
    with WorkerPool(folder, spec, arguments.venvs, arguments.out / "logs") as pool:
        log.info("%s: starting %s", folder.name, ", ".join(peer.name for peer in peers))
        pool.start(peers)
        for worker, reason in pool.failed.items():
            log.info("not running: %s: %s", worker, reason)
        asked = {name: getattr(arguments, name) for name in ("out", "rounds", "contended", "tune")}
        benchmark = Benchmark(pool, spec, peers, **asked)
        for workload in some:
            benchmark.run(workload)


def _wanted(names: str | None) -> list[Workload]:
    known = workloads()
    if names is None:
        return list(known.values())
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        raise SystemExit(f"no such workload: {unknown[0]}; there are {', '.join(known)}")
    return [workload for name, workload in known.items() if name in names.split(",")]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.local", description=__doc__)
    parser.add_argument("--workloads", help="comma-separated; default: all")
    parser.add_argument("--peers", help="comma-separated, beside nvrerank; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="that count, after one to warm up")
    parser.add_argument("--layers", type=int, help="depth of the decoders; default 1, the full depth is 16")
    parser.add_argument(
        "--one-worker", action="store_true", help="without the replicas, which hold a model twice"
    )
    parser.add_argument("--contended", action="store_true", help="another process keeps one core busy")
    parser.add_argument(
        "--tune",
        choices=("missing", "again", "never"),
        default="missing",
        help="look for the peers' best settings: where unknown, anew, or take only what is known",
    )
    parser.add_argument("--report-only", action="store_true", help="measure nothing, write the report anew")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench")
    parser.add_argument("--venvs", type=Path, default=ROOT, help="where .venv-peers and its like are")
    return parser.parse_args()


if __name__ == "__main__":
    main()
