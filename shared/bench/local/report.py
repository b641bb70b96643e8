"""Raw figures to tables. Pure but for `read_all`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.local.contestants import OURS
from bench.local.figures import Agreement, Spread, agreement, paired_ratios

Result = dict[str, Any]
TWINS = "2 workers x 1 thread"
HEADINGS = (
    "contestant",
    "settings",
    "seconds",
    "x ours (range)",
    "deviation",
    "Spearman",
    "Kendall",
    "top 10",
    "GFLOP/s",
    "of GEMM",
    "others' load",
)


@dataclass(frozen=True)
class Row:
    """A contestant on a workload.

    Attributes:
        label: Its name.
        kind: "ours", "default" or "best".
        precision: "fp32" or "int8".
        settings: What it was told, in words.
        seconds: Of its turns.
        ratio: Of its seconds to ours, round by round; None where ours did not run.
        agreement: Of its scores with the reference's.
        gflops: The linear layers' operations on real tokens by the median of its seconds.
        of_gemm: GFLOP/s by the rate probed in the same round.
        load: Cores that others used: median and most.
        contaminated: Turns in which they used too much.
    """

    label: str
    kind: str
    precision: str
    settings: str
    seconds: Spread
    ratio: Spread | None
    agreement: Agreement
    gflops: float
    of_gemm: Spread
    load: Spread
    contaminated: int


def read_all(folder: Path) -> list[Result]:
    """Every file of raw figures in a folder, by name."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]


def rows(result: Result) -> list[Row]:
    """The table of a workload: float32 first, then int8, each by its median."""
    ours = result["turns"].get(OURS)
    base = None if ours is None else [turn["seconds"] for turn in ours]
    found = [_row(entrant, result, base) for entrant in result["entrants"]]
    return sorted(found, key=lambda row: (row.precision, row.seconds.median))


def _row(entrant: dict[str, Any], result: Result, base: Sequence[float] | None) -> Row:
    turns = result["turns"][entrant["label"]]
    seconds = [turn["seconds"] for turn in turns]
    rates = [result["flops"] / taken / 1e9 for taken in seconds]
    spread = Spread.of(seconds)
    return Row(
        label=entrant["label"],
        kind=entrant["kind"],
        precision=entrant["precision"],
        settings=in_words(entrant, result["workers"]),
        seconds=spread,
        ratio=None if base is None else Spread.of(paired_ratios(seconds, base)),
        agreement=agreement(turns[-1]["scores"], result["reference"]),
        gflops=result["flops"] / spread.median / 1e9,
        of_gemm=Spread.of([rate / turn["gemm"] for rate, turn in zip(rates, turns, strict=True)]),
        load=Spread.of([turn["load"]["others"] + turn["load"]["stolen"] for turn in turns]),
        contaminated=sum(bool(turn["load"]["contaminated"]) for turn in turns),
    )


def in_words(entrant: dict[str, Any], workers: dict[str, Any]) -> str:
    """Settings and environment of a row."""
    settings = entrant["settings"]
    words = [f"batch {settings['batch_size']}"] if "batch_size" in settings else []
    words += {True: ["sorted by length"], False: ["input order"]}.get(settings.get("by_length"), [])
    if workers.get(entrant["worker"], {}).get("twins"):
        words.append(TWINS)
    return ", ".join(words)


def cells(row: Row) -> tuple[str, ...]:
    """A row as text, in the order of `HEADINGS`."""
    own = row.agreement
    ratio = row.ratio
    many = f" ({row.contaminated} turns)" if row.contaminated else ""
    return (
        row.label,
        row.settings,
        f"{row.seconds.median:.3f}",
        "-" if ratio is None else f"{ratio.median:.2f} ({ratio.least:.2f}..{ratio.most:.2f})",
        f"{own.deviation:.1e}",
        f"{own.spearman:.3f}",
        f"{own.kendall:.3f}",
        f"{own.top10:.1f}",
        f"{row.gflops:.0f}",
        f"{row.of_gemm.median:.2f}",
        f"{row.load.median:.2f}, {row.load.most:.2f}{many}",
    )


def text(results: Sequence[Result]) -> str:
    """All tables for a terminal."""
    return "\n".join(_section(result, heading="", table=_plain) for result in results)


def markdown(results: Sequence[Result]) -> str:
    """All tables as Markdown, with what the columns mean."""
    sections = [_section(result, heading="## ", table=_piped) for result in results]
    return "\n".join(["# Local scoring beside its peers", "", _LEGEND, *sections])


_LEGEND = """\
Ratios are a contestant's seconds by nvrerank's in the same round (median, range): above 1, nvrerank
is faster. Deviation, Spearman, Kendall and the overlap of the first ten are against float32 scores of one
pair at a time by transformers. GFLOP/s count the layers' linear parts on real tokens (no padding), all rows
of all layers, by the whole time, tokenisation included; beside it its share of the float32 matrix
multiplication probed in the same round. Others' load is in cores (median, most); above 0.1 a turn counts as
contaminated and is kept.
"""


def _section(result: Result, *, heading: str, table: Any) -> str:
    machine, tokens = result["machine"], result["tokens"]
    gemm = Spread.of([turn["gemm"] for turns in result["turns"].values() for turn in turns] or [0.0])
    work = (
        f"{result['layers']} layers; {len(tokens)} pairs, {sum(tokens)} tokens, longest {max(tokens)}; "
        f"{max(map(len, result['turns'].values()))} rounds; reference scores spread by {_spread(result):.2g}."
    )
    where = (
        f"{machine['processor']}, {machine['cores']} cores ({', '.join(machine['features'])}), "
        f"{machine['memory_gib']} GiB; load before {machine['load_before']:.1f}; "
        f"GEMM {gemm.median:.0f} GFLOP/s ({gemm.least:.0f}..{gemm.most:.0f}); taken {result['taken']}."
    )
    figures = table([HEADINGS, *(cells(row) for row in rows(result))])
    lines = [f"{heading}{result['title']}, {result['mode']}", "", work, where, "", figures, ""]
    lines += [f"Not run: {name}: {reason}" for name, reason in result["not_run"].items()]
    lines += ["", "Versions and environment: " + "; ".join(_workers(result)), ""]
    return "\n".join(lines)


def _spread(result: Result) -> float:
    return agreement(result["reference"], result["reference"]).spread


def _workers(result: Result) -> Iterable[str]:
    taking_part = {entrant["worker"] for entrant in result["entrants"]}
    for name, about in result["workers"].items():
        if name in taking_part:
            versions = ", ".join(f"{package} {number}" for package, number in about["versions"].items())
            given = about["environment"]
            said = (
                given
                if isinstance(given, str)
                else " ".join(f"{key}={value}" for key, value in given.items())
            )
            yield f"{name} ({versions}; {said})"


def _plain(table: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def _piped(table: Sequence[Sequence[str]]) -> str:
    head, *body = ("| " + " | ".join(row) + " |" for row in table)
    return "\n".join([head, "|" + "---|" * len(table[0]), *body])
