"""Raw figures to tables. Pure but for `read_all`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.local.agreement import Agreement, Spread, agreement, paired_ratios
from bench.local.peers import OURS, PRECISIONS

Result = dict[str, Any]
REPLICAS = "2 replicas x 1 thread"
_LEGEND = """\
# Local scoring beside its peers

Ratios are a row's seconds by nvrerank's in the same round, median (range): above 1, nvrerank is faster.
Deviation, Spearman, Kendall and the overlap of the first ten are the worst of all rounds and queries
against float32 scores of one pair at a time by transformers in the same run. GFLOP/s count the layers'
linear parts on real tokens (no padding), all rows of all layers, by the whole time, tokenisation included;
beside it its share of a bare matrix product at the row's precision in the same round. Others' load is in
cores (median, most); above 0.1 a measurement counts as contaminated and is kept.
"""


@dataclass(frozen=True)
class ComparisonRow:
    """A configuration on a workload."""

    label: str
    kind: str  # "ours", "default" or "best"
    precision: str  # one of `PRECISIONS`
    settings: str  # in words
    seconds: Spread
    ratio: Spread | None  # of its seconds to ours, round by round; None where ours did not run
    agreement: Agreement  # of its scores with the reference's
    gflops: float  # the linear layers' operations on real tokens by the median of its seconds
    of_gemm: Spread  # GFLOP/s by the rate of a bare product at its precision in the same round
    load: Spread  # cores that others used
    contaminated: int  # measurements in which they used too much

    def cells(self) -> dict[str, str]:
        """As text, by heading."""
        own = self.agreement
        many = f" ({self.contaminated} contaminated)" if self.contaminated else ""
        return {
            "configuration": self.label,
            "settings": self.settings,
            "precision": self.precision,
            "seconds": f"{self.seconds.median:.3f}",
            "x ours (range)": "-" if self.ratio is None else str(self.ratio),
            "deviation": f"{own.deviation:.1e}",
            "Spearman": f"{own.spearman:.3f}",
            "Kendall": f"{own.kendall:.3f}",
            "top 10": f"{own.top10:.1f}",
            "GFLOP/s": f"{self.gflops:.0f}",
            "of GEMM": f"{self.of_gemm.median:.2f}",
            "others' load": f"{self.load.median:.2f}, {self.load.most:.2f}{many}",
        }


def read_all(folder: Path) -> list[Result]:
    """Every file of raw figures in a folder, by name."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]


def comparison_rows(result: Result) -> list[ComparisonRow]:
    """The table of a workload: float32 first, then bfloat16 and int8, each by its median."""
    ours = result["measurements"].get(OURS)
    base = None if ours is None else [one["seconds"] for one in ours]
    found = [_row(one, result, base) for one in result["configurations"]]
    return sorted(found, key=lambda row: (PRECISIONS.index(row.precision), row.seconds.median))


def _row(configuration: dict[str, Any], result: Result, base: Sequence[float] | None) -> ComparisonRow:
    measured, reference = result["measurements"][configuration["label"]], result["reference"]
    seconds = [one["seconds"] for one in measured]
    gemm = [one["gemm"][PRECISIONS.index(configuration["precision"])] for one in measured]
    rates = [result["flops"] / taken / 1e9 for taken in seconds]
    scores = [of_query for one in measured for of_query in one["scores"]]
    return ComparisonRow(
        label=configuration["label"],
        kind=configuration["kind"],
        precision=configuration["precision"],
        settings=_in_words(configuration, result["workers"]),
        seconds=Spread.of(seconds),
        ratio=None if base is None else Spread.of(paired_ratios(seconds, base)),
        agreement=agreement(scores, reference * len(measured)),
        gflops=result["flops"] / Spread.of(seconds).median / 1e9,
        of_gemm=Spread.of(paired_ratios(rates, gemm)),
        load=Spread.of([one["load"]["others"] + one["load"]["stolen"] for one in measured]),
        contaminated=sum(bool(one["load"]["contaminated"]) for one in measured),
    )


def _in_words(configuration: dict[str, Any], workers: dict[str, Any]) -> str:
    settings = configuration["settings"]
    words = [f"batch {settings['batch_size']}"] if "batch_size" in settings else []
    words += {True: ["sorted by length"], False: ["input order"]}.get(settings.get("by_length"), [])
    if workers.get(configuration["worker"], {}).get("replicas"):
        words.append(REPLICAS)
    return ", ".join(words)


def markdown(results: Sequence[Result]) -> str:
    """All tables, aligned so that a terminal shows them too, with what the columns mean."""
    return "\n".join([_LEGEND, *map(_section, results)])


def _section(result: Result) -> str:
    machine, tokens, measured = result["machine"], result["tokens"], result["measurements"].values()
    spread = agreement(result["reference"], result["reference"]).spread
    rates = zip(*(one["gemm"] for rows in measured for one in rows), strict=True)
    gemm = (f"{name} {Spread.of(some).median:.0f}" for name, some in zip(PRECISIONS, rates, strict=False))
    work = (
        f"{result['layers']} layers; {len(tokens)} pairs, {sum(tokens)} tokens, longest {max(tokens)}; "
        f"{max(map(len, measured))} rounds; reference scores spread by {spread:.2g}."
    )
    where = (
        f"{machine['processor']}, {machine['cores']} cores ({', '.join(machine['features'])}), "
        f"{machine['memory_gib']} GiB; load before {machine['load_before']:.1f}; "
        f"GEMM, GFLOP/s: {', '.join(gemm)}; taken {result['taken']}."
    )
    table = _table([row.cells() for row in comparison_rows(result)])
    lines = [f"## {result['title']}, {result['mode']}", "", work, where, "", *table, ""]
    lines += [f"Not run: {name}: {reason}" for name, reason in result["not_run"].items()]
    lines += ["", "Versions and environment: " + "; ".join(_workers(result)), ""]
    return "\n".join(lines)


def _workers(result: Result) -> Iterator[str]:
    for name in dict.fromkeys(one["worker"] for one in result["configurations"]):
        about = result["workers"][name]
        versions = ", ".join(f"{package} {number}" for package, number in about["versions"].items())
        changes = " ".join(f"{key}={value}" for key, value in about["environment"].items())
        yield f"{name} ({versions}; {changes or 'with its defaults'})"


def _table(cells: Sequence[dict[str, str]]) -> list[str]:
    lines = [dict(zip(cells[0], cells[0], strict=True)), *cells] if cells else []
    widths = {name: max(len(line[name]) for line in lines) for name in (cells[0] if cells else ())}
    rows = ["| " + " | ".join(line[name].ljust(widths[name]) for name in widths) + " |" for line in lines]
    return [*rows[:1], "|" + "|".join("-" * (width + 2) for width in widths.values()) + "|", *rows[1:]]
