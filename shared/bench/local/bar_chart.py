"""The tables as a picture: each configuration's time beside ours, on every workload."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.local.comparison import REPLICAS, ComparisonRow, Result, comparison_rows

_COLOURS = {"ours": "#76b900", "default": "#9aa5b1", "best": "#3d6fa5"}
_HATCHES = {"bfloat16": "..", "int8": "//"}


def draw(results: Sequence[Result], file: Path) -> None:
    """Writes a PNG: a panel for each workload and mode, bars of the ratio to ours with its range.

    Results without our own measurements are left out.
    """
    from matplotlib.figure import Figure

    tables = [(result, comparison_rows(result)) for result in results]
    shown = [(result, table) for result, table in tables if table and table[0].ratio]
    if not shown:
        return
    heights = [len(table) + 2 for _result, table in shown]
    figure = Figure(figsize=(9, 0.28 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(shown), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    for panel, (result, table) in zip(panels[:, 0], shown, strict=True):
        _panel(panel, f"{result['title']}, {result['layers']} layers, {result['mode']}", table)
    figure.savefig(file, dpi=130)


def _panel(panel: Any, title: str, table: Sequence[ComparisonRow]) -> None:
    for place, row in enumerate(table):
        if row.ratio is None:
            continue
        middle, hatch = row.ratio.median, _HATCHES.get(row.precision)
        ends = [[middle - row.ratio.least], [row.ratio.most - middle]]
        panel.barh(place, middle, color=_COLOURS[row.kind], hatch=hatch, edgecolor="white", height=0.75)
        panel.errorbar(middle, place, xerr=ends, color="#333333", linewidth=1, capsize=2)
        panel.annotate(f" {middle:.2f}", (row.ratio.most, place), va="center", fontsize=7)
    panel.set_yticks(range(len(table)), [_label(row) for row in table])
    panel.tick_params(labelsize=7)
    panel.set_ylim(len(table) - 0.4, -0.6)
    panel.axvline(1, color="#76b900", linewidth=1)
    panel.set_title(title, fontsize=8, loc="left")
    panel.set_xlabel("seconds over nvrerank's, median and range; dotted: bfloat16, hatched: int8", fontsize=7)
    panel.spines[["top", "right"]].set_visible(False)


def _label(row: ComparisonRow) -> str:
    settings = row.settings.removesuffix(f", {REPLICAS}")
    return f"{row.label} ({settings})" if settings else row.label
