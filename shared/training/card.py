"""The model card: a template, filled with what `figures` measured. Pure but for reading both."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from string import Template
from typing import Any

TEMPLATE = Path(__file__).with_name("card.md")

Figures = Mapping[str, Any]  # by file: training, english, within, across, demonstration, files
_PLACE = re.compile(r"(<!-- figures: (\w+) -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)
SHOWN = {"R@1": "R@1", "R@5": "Recall@5", "nDCG@10": "nDCG@10"}


def read(folder: Path) -> Figures:
    """All figures of a report's folder, by the names of their files."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*.json")}


def filled(figures: Figures, template: str | None = None) -> str:
    """The card.

    Raises:
        KeyError: A figure is not there.
    """
    text = TEMPLATE.read_text(encoding="utf-8") if template is None else template
    return Template(text).substitute(words(figures))


def refilled(page: str, figures: Figures) -> str:
    """A page of the docs with its marked figures made anew.

    Raises:
        KeyError: A mark names no figure.
    """
    known = words(figures)
    return _PLACE.sub(lambda place: f"{place[1]}{known[place[2]]}{place[3]}", page)


def words(figures: Figures) -> dict[str, str]:
    """What the template's names stand for."""
    training, english, across = (figures[name] for name in ("training", "english", "across"))
    within, files, settings = (figures[name] for name in ("within", "files", "settings"))
    first = next(iter(within.values()))
    cells, mean = _across(across)
    return {
        "parameters": f"{settings['parameters'] / 1e6:.0f}",
        "megabytes": f"{files['model.safetensors'] / 1e6:.0f}",
        "vocabulary": f"{settings['vocab_size']:,}",
        "dtype": settings["dtype"],
        "steps": f"{training['steps']:,}",
        "pairs": f"{training['pairs']:,}",
        "english_queries": str(sum(one["queries"] for one in english["sets"])),
        "english_top": str(english["top_k"]),
        "english_average": table(
            ["averaged over the six sets", "before", "reranked", "gain", "95 % interval"], _average(english)
        ),
        "english_sets": "\n\n".join(_sets(english)),
        "within_queries": str(first["sets"][0]["queries"]),
        "within_top": str(first["top_k"]),
        "within": table(["", "BM25", "reranked", "e5", "reranked"], _within(within)),
        "across_top": str(across["top_k"]),
        "across_queries": str(across["sets"][0]["queries"]),
        "across_mean": mean,
        "across": cells,
        "demonstration": _demonstration(figures["demonstration"]),
        "held": f"{training['questions']:,}",
        "one_in": f"{1 / training['share_of_positives']:.0f}",
        "temperature": f"{training['temperature']:.2f}",
        "offset": f"{training['offset']:.2f}",
        "error": f"{training['expected_calibration_error']:.3f}",
        "positives": f"{training['probability_of_positives']:.2f}",
        "negatives": f"{training['probability_of_negatives']:.3f}",
    }


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def couples(report: Any) -> list[tuple[str, Any, Any]]:
    """For each retriever its name, its row and that of the reranker over it."""
    rows = report["rows"]
    names = dict.fromkeys(row["retriever"] for row in rows)
    by = {(row["retriever"], row["scorer"]): row for row in rows}
    return [(_name(name), by[name, None], by[name, "bundled"]) for name in names]


def _name(retriever: str) -> str:
    if "e5" in retriever:
        return "e5"
    return "BM25" if retriever == "bm25" else "MiniLM"


def _gain(figure: Any) -> list[str]:
    return [f"{figure['gain']:+.3f}", f"{figure['low']:+.3f} to {figure['high']:+.3f}"]


def _average(report: Any) -> list[list[str]]:
    return [
        [
            f"{name}, {shown}",
            *(f"{row['average'][key]['value']:.3f}" for row in rows),
            *_gain(rows[1]["average"][key]),
        ]
        for name, *rows in couples(report)
        for key, shown in SHOWN.items()
    ]


def _sets(report: Any) -> list[str]:
    found = []
    for name, before, after in couples(report):
        rows = []
        for one in (info["name"] for info in report["sets"]):
            old, new = before["sets"][one], after["sets"][one]
            move = {key: f"{old[key]['value']:.3f} to {new[key]['value']:.3f}" for key in SHOWN}
            recall, ndcg = (" (".join(_gain(new[key])) + ")" for key in ("R@5", "nDCG@10"))
            rows.append([one, move["R@1"], move["R@5"], recall, move["nDCG@10"], ndcg])
        head = [f"over {name}'s", "R@1", "Recall@5", "gain", "nDCG@10", "gain"]
        found.append(table(head, rows))
    return found


def _within(reports: Mapping[str, Any]) -> list[list[str]]:
    values = {
        language: [
            row["average"]["nDCG@10"]["value"] for _, before, after in couples(one) for row in (before, after)
        ]
        for language, one in reports.items()
    }
    values["mean"] = [fmean(column) for column in zip(*values.values(), strict=True)]
    return [[language, *(f"{one:.3f}" for one in row)] for language, row in values.items()]


def _across(report: Any) -> tuple[str, str]:
    [(_, before, after)] = couples(report)
    [info] = report["sets"]
    old, new = (
        {pair: one["R@5"] for pair, one in row["pairs"][info["name"]].items()} for row in (before, after)
    )
    languages = info["query_languages"]
    rows = [
        [
            f"**{asked}**",
            *(f"{new[f'{asked}-{found}']:.2f} ({old[f'{asked}-{found}']:.2f})" for found in languages),
        ]
        for asked in languages
    ]
    pairs = info["averaged"]
    worst = min(pairs, key=lambda pair: new[pair] - old[pair])
    means = [fmean(values[one] for one in pairs) for values in (old, new)]
    mean = (
        f"{means[0]:.3f} to {means[1]:.3f}; the pair that loses most or gains least is {worst}, "
        f"{new[worst] - old[worst]:+.3f}"
    )
    return table(["", *languages], rows), mean


def _demonstration(shown: Any) -> str:
    figures, gain = shown["figures"], shown["gain"]
    values = ", ".join(
        f"{name} {value:.3f} to {figures['after'][name]:.3f}" for name, value in figures["before"].items()
    )
    return (
        f"{len(shown['questions'])} questions in everyday words, the first {shown['candidates']} of "
        f"{shown['retriever']}, by topic: {values}. nDCG@10 gains {gain['mean']:+.3f} ({gain['low']:+.3f} to "
        f"{gain['high']:+.3f}); {gain['better']} questions are answered better, {gain['worse']} worse."
    )
