"""Where each passage stood and where it stands: a slope chart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nvrerank.results import Ranking

from .drawing import BLUE, GREY, ORANGE, Letters, axes_for, bare, points
from .rows import Row, checked_count, dropped, rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = 40
_LABELS = 1.5  # as wide as so many of the two columns' distance
_LEAST, _LEAST_TICK, _MOST = 5.0, 7.0, 9.0  # points of a letter
_TOP = 0.4  # rows; the first is at 1
_LINE = 1.3  # letters apart are two lines
_LETTER = 0.54  # of its height is a letter wide, on average


def plot_rank_flow(
    ranking: Ranking, *, labels: Sequence[str] | None = None, rows: int | None = ROWS, ax: Axes | None = None
) -> Axes:
    """Draws a line from each passage's place in retrieval to its place after reranking.

    Blue rose, orange fell, grey stayed; a dot alone did not stay in the ranking.

    Args:
        ranking: What `rerank` returned.
        labels: A name for each passage, in input order; else its text, as far as there is room.
        rows: At most so many passages, from the best on; None: all.
        ax: Where to draw; else in a new figure.

    Returns:
        The axes.

    Raises:
        MissingExtraError: matplotlib is not installed.
        TypeError: rows is no integer.
        ValueError: rows is less than 0, or there is not one label a passage.
    """
    if labels is not None and len(labels) != len(ranking.passages):
        raise ValueError(f"labels must name each passage: {len(labels)} for {len(ranking.passages)}")
    shown = rows_of(ranking)[: checked_count("rows", rows)]
    fallen = [index + 1 for index in dropped(ranking) if rows is None or index < rows]
    lowest = max([*(max(row.before, row.rank) for row in shown), *fallen, 1])
    ax = axes_for(ax, width=9, height=min(14.0, 1.0 + 0.25 * lowest))
    for row in shown:
        ax.plot([0, 1], [row.before, row.rank], color=_colour(row), marker="o", markersize=4, linewidth=1.5)
    if fallen:
        ax.plot([0] * len(fallen), fallen, linestyle="none", marker="o", markersize=4, color=GREY, alpha=0.5)
    _frame(ax, lowest)
    _label(ax, shown, labels, lowest)
    return ax


def _colour(row: Row) -> str:
    return BLUE if row.moved > 0 else ORANGE if row.moved < 0 else GREY


def _frame(ax: Axes, lowest: int) -> None:
    row = points(ax)[1] / (lowest + 0.2)
    size = max(_LEAST_TICK, _letter(row))
    ax.set_xlim(-0.06, 1 + _LABELS)
    ax.set_ylim(lowest + 0.6, _TOP)
    ax.set_xticks([0, 1], ["retrieval", "reranked"])
    ax.xaxis.tick_top()
    ax.set_yticks(range(1, lowest + 1, _every(size, row)))
    ax.tick_params(length=0)
    ax.tick_params(axis="y", labelsize=size)
    bare(ax, "top", "right", "bottom", "left")


def _label(ax: Axes, shown: Sequence[Row], labels: Sequence[str] | None, lowest: int) -> None:
    """Names what is shown; where the rows are narrower than letters, below each other beside them."""
    across, down = points(ax)
    row = down / (lowest + 0.2)
    size = _letter(down / (len(shown) + 0.2))
    named = shown[:: _every(size, down / (len(shown) + 0.2))]
    apart = _LINE * size / row  # in rows
    width = across * (_LABELS - 0.05) / (1.06 + _LABELS) / (size * _LETTER)
    letters = Letters()
    least = _TOP + apart / 2
    for one in named:
        place = max(float(one.rank), least)
        least = place + apart
        text = letters.fitting(one.text if labels is None else labels[one.index], width)
        if place > one.rank:
            ax.plot([1, 1.04], [one.rank, place], color=GREY, linewidth=0.5)
        ax.text(
            1.05,
            place,
            text if text is not None else f"passage {one.index}",
            fontsize=size,
            family=letters.families,
            verticalalignment="center",
            clip_on=True,
            parse_math=False,
            usetex=False,
        )


def _letter(row: float) -> float:
    """How high letters may be in rows of so many points, in points."""
    return min(_MOST, max(_LEAST, 0.7 * row))


def _every(size: float, row: float) -> int:
    """Every how many rows of so many points there is room for letters of a size."""
    return max(1, math.ceil(_LINE * size / row))
