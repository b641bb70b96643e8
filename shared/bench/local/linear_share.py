"""How fast the linear layers alone are beside a bare matrix product, and their share of the time.

`python -m bench.local.linear_share`: float32, one thread, rounds that alternate between the product and the
model under torch's profiler. A scorer with one torch thread computes in the caller's own, where it is seen.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from bench.local.agreement import Spread, paired_ratios
from bench.local.checkpoints import made
from bench.local.engines.gemm import gemm_rate
from bench.local.pool import ROOT
from bench.local.workloads import workloads
from nvrerank import LocalScorer

_LINEAR = ("aten::addmm", "aten::mm")


def main() -> None:
    """Prints a line for each workload."""
    parser = argparse.ArgumentParser(prog="python -m bench.local.linear_share", description=__doc__)
    parser.add_argument("--workloads", default="minilm-1x100,minilm-1x24,llama-40")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.workloads.split(","):
        shares, rates, gemms = _measured(name, arguments.out / "models", arguments.rounds)
        of_gemm, share = Spread.of(paired_ratios(rates, gemms)), Spread.of(shares).median
        print(f"{name}: {Spread.of(rates).median:.0f} GFLOP/s, of GEMM {of_gemm}; {share:.0%} of the time")


def _measured(name: str, models: Path, rounds: int) -> tuple[list[float], list[float], list[float]]:
    """For each round the linear layers' share of the time, their GFLOP/s, and those of the bare product."""
    workload = workloads()[name]
    folder, spec = made(workload.checkpoint, models)
    scorer = LocalScorer(folder, device="cpu", dtype="float32", max_length=spec.max_length).load()
    hidden, intermediate = spec.config["hidden_size"], spec.config["intermediate_size"]
    shares, rates, gemms = [], [], []
    for number in range(rounds + 1):
        gemm = gemm_rate("float32", hidden=hidden, intermediate=intermediate)
        with profile(activities=[ProfilerActivity.CPU], with_flops=True) as seen:
            started = time.perf_counter()
            for query, passages in workload.groups:
                scorer.score(query, passages)
            seconds = time.perf_counter() - started
        linear = [one for one in seen.key_averages() if one.key in _LINEAR]
        spent = sum(one.self_cpu_time_total for one in linear) / 1e6
        if number:  # the first warms up
            shares.append(spent / seconds)
            rates.append(sum(one.flops for one in linear) / spent / 1e9)
            gemms.append(gemm)
    return shares, rates, gemms


if __name__ == "__main__":
    main()
