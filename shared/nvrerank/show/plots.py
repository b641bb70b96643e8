"""Rankings, scores and thresholds, drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nvrerank.results import Ranked

from .axes import BLACK, BLUE, GREEN, GREY, ORANGE, FontCoverage, axes_for, size_in_points
from .framework_results import Results, Shown, ranking_of
from .rows import Row, check_labels, rows_of
from .sweep import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = 40
_LABEL_WIDTH = 1.5  # as wide as so many of the two columns' distance
_LEAST_FONT, _LEAST_TICK_FONT, _MOST_FONT = 5.0, 7.0, 9.0  # points
_TOP = 0.4  # rows; the first is at 1
_LINE_HEIGHT, _CHARACTER_WIDTH = 1.3, 0.54  # of the font's size; the width is an average
_HEADROOM = 1.3  # of the highest, for the legend
_LEAST_BIN = 100  # as wide as so many steps between neighbouring floats; narrower ones have no edges


def plot_rank_flow(
    ranking: Shown, *, labels: Sequence[str] | None = None, rows: int | None = ROWS, ax: Axes | None = None
) -> Axes:
    """Draws a slope chart: a line from each passage's place in retrieval to its place after reranking.

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
        ValueError: rows is less than 0, there is not one label a passage, or these are documents or nodes, of
            which `ranking_of(..., retrieved=...)` makes a ranking.
    """
    ranking = ranking_of(ranking)
    if isinstance(ranking, Results):  # a ranking all the same
        raise ValueError("these don't tell where they stood: draw ranking_of(..., retrieved=...)")  # noqa: TRY004
    check_labels(labels, ranking)
    shown = rows_of(ranking, rows)
    stayed = {one.index for one in ranking}
    dropped = [index + 1 for index in range(len(ranking.passages))[:rows] if index not in stayed]
    lowest = max([*(max(row.before, row.rank) for row in shown), *dropped, 1])
    ax = axes_for(ax, width=9, height=min(14.0, 1.0 + 0.25 * lowest))
    for row in shown:
        colour = BLUE if row.moved > 0 else ORANGE if row.moved < 0 else GREY
        ax.plot([0, 1], [row.before, row.rank], color=colour, marker="o", markersize=4, linewidth=1.5)
    if dropped:
        ax.plot(
            [0] * len(dropped), dropped, linestyle="none", marker="o", markersize=4, color=GREY, alpha=0.5
        )
    _style_rank_axes(ax, lowest)
    _label_rows(ax, shown, labels, lowest)
    return ax


def plot_scores(
    scores: Iterable[Ranked | float | None], *, threshold: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draws a histogram of scores, each score as a tick below it, and how many a threshold keeps.

    Args:
        scores: What `rerank` returned (without `top_n`, or little is to be seen), or scores; None: not
            scored, which no threshold keeps.
        threshold: Least score that stays, inclusive.
        ax: Where to draw; else in a new figure.

    Returns:
        The axes.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ValueError: There is no score.
    """
    given = [one.score if isinstance(one, Ranked) else one for one in scores]
    known = [score for score in given if score is not None]
    if not known:
        raise ValueError("there is no score to draw: the ranking is empty or was not scored")
    ax = axes_for(ax, width=7, height=3.2)
    parts, colours, names = [known], [BLUE], [f"{len(known)} scores"]
    if threshold is not None:
        parts = [[s for s in known if s >= threshold], [s for s in known if s < threshold]]
        stay = len(parts[0])
        colours, names = [BLUE, GREY], [f"{stay} of {len(given)} stay", f"{len(given) - stay} do not"]
    ax.hist(parts, bins=_bins(known, threshold), stacked=True, color=colours, label=names)
    for part, colour in zip(parts, colours, strict=True):
        ax.plot(part, [0] * len(part), "|", color=colour, markersize=9, clip_on=False)
    if threshold is not None:
        _mark_threshold(ax, threshold, f"threshold {threshold:.3g}")
    ax.set_ylim(0, ax.get_ylim()[1] * _HEADROOM)
    ax.yaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]  # a MaxNLocator takes it
    _finish(ax, "score", "passages")
    return ax


def plot_sweep(sweep: Sweep, *, threshold: float | None = None, ax: Axes | None = None) -> Axes:
    """Draws precision, recall and F1 over the threshold.

    Args:
        sweep: What `threshold_sweep` returned.
        threshold: The one to mark; else that of the greatest F1.
        ax: Where to draw; else in a new figure.

    Returns:
        The axes.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    ax = axes_for(ax, width=7, height=3.6)
    thresholds = [point.threshold for point in sweep.points]
    style: dict[str, Any] = {
        "drawstyle": "steps-pre",
        "linewidth": 2,
        "marker": "o" if len(thresholds) == 1 else None,
    }
    for name, colour, line in (("precision", BLUE, "--"), ("recall", ORANGE, ":"), ("f1", GREEN, "-")):
        values = [getattr(point, name) for point in sweep.points]
        ax.plot(thresholds, values, line, color=colour, label=name.replace("f1", "F1"), **style)
    marked = sweep.best if threshold is None else sweep.at(threshold)
    _mark_threshold(ax, marked.threshold, f"F1 {marked.f1:.2f} at {marked.threshold:.3g}")
    ax.set_ylim(0, _HEADROOM)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
    _finish(ax, "threshold", f"of {sweep.relevant} relevant among {sweep.passages}")
    return ax


def _style_rank_axes(ax: Axes, lowest: int) -> None:
    row = size_in_points(ax)[1] / (lowest + 0.2)
    size = max(_LEAST_TICK_FONT, _font_size(row))
    ax.set_xlim(-0.06, 1 + _LABEL_WIDTH)
    ax.set_ylim(lowest + 0.6, _TOP)
    ax.set_xticks([0, 1], ["retrieval", "reranked"])
    ax.xaxis.tick_top()
    ax.set_yticks(range(1, lowest + 1, _label_step(size, row)))
    ax.tick_params(length=0)
    ax.tick_params(axis="y", labelsize=size)
    ax.spines[:].set_visible(False)


def _label_rows(ax: Axes, shown: Sequence[Row], labels: Sequence[str] | None, lowest: int) -> None:
    """Names what is shown; where the rows are narrower than characters, below each other beside them."""
    across, down = size_in_points(ax)
    row = down / (lowest + 0.2)
    size = _font_size(down / (len(shown) + 0.2))
    apart = _LINE_HEIGHT * size / row  # in rows
    width = across * (_LABEL_WIDTH - 0.05) / (1.06 + _LABEL_WIDTH) / (size * _CHARACTER_WIDTH)
    fonts = FontCoverage()
    style: dict[str, Any] = {"fontsize": size, "family": fonts.families, "parse_math": False, "usetex": False}
    least = _TOP + apart / 2
    for one in shown[:: _label_step(size, down / (len(shown) + 0.2))]:
        place = max(float(one.rank), least)
        least = place + apart
        if place > one.rank:
            ax.plot([1, 1.04], [one.rank, place], color=GREY, linewidth=0.5)
        text = fonts.fitted(one.text if labels is None else labels[one.index], width)
        text = f"passage {one.index}" if text is None else text
        ax.text(1.05, place, text, verticalalignment="center", clip_on=True, **style)


def _font_size(row: float) -> float:
    """The font for rows of so many points, in points."""
    return min(_MOST_FONT, max(_LEAST_FONT, 0.7 * row))


def _label_step(size: float, row: float) -> int:
    """Every how many rows of so many points there is room for a label."""
    return max(1, math.ceil(_LINE_HEIGHT * size / row))


def _mark_threshold(ax: Axes, threshold: float, label: str) -> None:
    ax.axvline(threshold, ymax=1 / _HEADROOM, color=BLACK, linestyle="-.", linewidth=1.5, label=label)


def _bins(scores: Sequence[float], threshold: float | None) -> int | list[float]:
    """How many bins, or their edges: a threshold among the scores is one, that no bar lie on both sides."""
    least, most = min(scores), max(scores)
    count = max(5, min(40, round(2 * math.sqrt(len(scores)))))
    width = (most - least) / count
    step = math.ulp(max(abs(least), abs(most)))
    if width < _LEAST_BIN * step:
        margin = max(0.5, _LEAST_BIN * step)
        return [least - margin, most + margin]
    if threshold is None or not least < threshold <= most:
        return count
    below, above = math.ceil((threshold - least) / width), max(1, math.ceil((most - threshold) / width))
    edges = [threshold + number * width for number in range(-below, above + 1)]
    return [min(edges[0], least), *edges[1:-1], max(edges[-1], most)]


def _finish(ax: Axes, across: str, up: str) -> None:
    ax.set_xlabel(across)
    ax.set_ylabel(up)
    style = {"frameon": False, "fontsize": "small", "handlelength": 1.6, "columnspacing": 1.2}
    ax.legend(loc="upper center", ncols=4, **style)
    ax.spines[["top", "right"]].set_visible(False)
