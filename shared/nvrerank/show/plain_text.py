"""A ranking as a table of plain text: what `print` shows. Pure."""

from __future__ import annotations

from .framework_results import Shown, ranking_of
from .rows import rows_of
from .tables import NUMBERS, ROWS, caption, columns_of

_WIDTH = 100


def text_table(ranking: Shown, *, rows: int | None = ROWS, width: int = _WIDTH) -> str:
    """A line a passage, best first, below the query: places, scores, and how the text begins.

    Args:
        ranking: What `rerank` returned, or LangChain's documents or LlamaIndex's nodes.
        rows: At most so many passages; the rest is counted. None: all.
        width: Characters of a line.

    Raises:
        TypeError, ValueError: rows is no integer of 0 or more, or there is something else than documents.
    """
    ranking = ranking_of(ranking)
    shown, names = rows_of(ranking, rows), columns_of(ranking)
    table = [names, *([printable(NUMBERS[name](row)) for name in names] for row in shown)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    texts = ["passage", *(printable(row.text) for row in shown)]
    lines = [shortened(printable("".join(caption(ranking))), width)]
    for cells, text in zip(table, texts, strict=True):
        numbers = (cell.rjust(wide) for cell, wide in zip(cells, widths, strict=True))
        lines.append(shortened("  ".join([*numbers, text]).rstrip(), width))
    if len(shown) < len(ranking):
        lines.append(f"and {len(ranking) - len(shown)} more")
    return "\n".join(lines)


def printable(text: str) -> str:
    """On one line, and without what a terminal might obey."""
    return "".join(sign if sign.isprintable() else " " for sign in " ".join(text.split()))


def shortened(text: str, width: int) -> str:
    """At most so many characters; an ellipsis stands for the rest."""
    return text if len(text) <= width else text[: width - 1] + "…"
