"""A ranking of files as a table for the terminal, JSON, CSV, or a page."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from nvrerank.images import caption_of
from nvrerank.results import Ranking
from nvrerank.scorer import Scorer
from nvrerank.show.plain_text import printable, shortened

from .inputs import Source

_PAGE_ROWS = 30  # each one's sentences are scored too
_COLUMNS = ("rank", "before", "score", "fused", "file", "line", "page", "text")


def as_table(ranking: Ranking, sources: Sequence[Source]) -> str:
    """Two lines a passage: places, score and where it is from, then how it begins."""
    if not ranking:
        return ""
    width = shutil.get_terminal_size((100, 24)).columns
    lines = ["rank  before  moved     score  passage"]
    for place, one in enumerate(ranking, start=1):
        source, before = sources[one.index], one.index + 1
        score = "-" if one.score is None else f"{one.score:.3f}"
        label = printable(source.label)
        lines.append(f"{place:>4}  {before:>6}  {_moved(before - place)}  {score:>8}  {label}")
        lines.append(shortened(" " * 6 + printable(caption_of(source.text)), width))
    return "\n".join(lines)


def as_json(ranking: Ranking, sources: Sequence[Source]) -> str:
    """One list with an object a passage."""
    return json.dumps(list(_entries(ranking, sources)), indent=2)


def as_csv(ranking: Ranking, sources: Sequence[Source]) -> str:
    """A line of names, then one a passage."""
    written = io.StringIO()
    table = csv.DictWriter(written, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(_entries(ranking, sources))
    return written.getvalue().removesuffix("\n")


def as_page(ranking: Ranking, sources: Sequence[Source], scorer: Scorer) -> str:
    """An HTML document with the best sentences marked."""
    from nvrerank.show import best_sentences, page

    labels = [source.label for source in sources]
    marks = best_sentences(scorer, ranking, rows=_PAGE_ROWS)
    return page(ranking, rows=_PAGE_ROWS, marks=marks, labels=labels)


def _entries(ranking: Ranking, sources: Sequence[Source]) -> Iterator[dict[str, Any]]:
    for place, one in enumerate(ranking, start=1):
        source = sources[one.index]
        yield {
            "rank": place,
            "before": one.index + 1,
            "index": one.index,
            "score": one.score,
            "fused": one.fused,
            "file": source.file,
            "line": source.line,
            "page": source.page,
            "source": one.source,
            "cut": one.cut,
            "text": source.text,
        }


def _moved(places: int) -> str:
    """How far a passage rose or fell, five wide; in colours, which only a terminal is sent."""
    if not places:
        return "=".rjust(5)
    arrow = f"{'↑' if places > 0 else '↓'} {abs(places)}".rjust(5)
    if os.environ.get("NO_COLOR"):
        return arrow
    return typer.style(arrow, fg=typer.colors.GREEN if places > 0 else typer.colors.RED)
