"""Scores and thresholds, drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, sqrt, ulp
from typing import TYPE_CHECKING

from nvrerank.results import Ranked

from .drawing import BLACK, BLUE, GREEN, GREY, ORANGE, axes_for, bare
from .sweep import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEADROOM = 1.3  # of the highest, for the legend
_LEAST_BIN = 100  # as wide as so many steps between neighbouring floats; narrower ones have no borders


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
    stay = [score for score in known if threshold is None or score >= threshold]
    fall = [score for score in known if threshold is not None and score < threshold]
    names = [f"{len(stay)} of {len(given)} stay" if threshold is not None else f"{len(stay)} scores"]
    parts, colours = [stay], [BLUE]
    if threshold is not None:
        parts, colours = [stay, fall], [BLUE, GREY]
        names.append(f"{len(given) - len(stay)} do not")
    ax.hist(parts, bins=_bins(known, threshold), stacked=True, color=colours, label=names)
    for part, colour in zip(parts, colours, strict=True):
        ax.plot(part, [0] * len(part), "|", color=colour, markersize=9, clip_on=False)
    if threshold is not None:
        _threshold(ax, threshold, f"threshold {threshold:.3g}")
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
    marker = "o" if len(thresholds) == 1 else None  # a line of one point is nothing to see
    for name, colour, line in (("precision", BLUE, "--"), ("recall", ORANGE, ":"), ("f1", GREEN, "-")):
        values = [getattr(point, name) for point in sweep.points]
        label = name.replace("f1", "F1")
        ax.plot(
            thresholds,
            values,
            line,
            color=colour,
            marker=marker,
            linewidth=2,
            drawstyle="steps-pre",
            label=label,
        )
    marked = sweep.best if threshold is None else sweep.at(threshold)
    _threshold(ax, marked.threshold, f"F1 {marked.f1:.2f} at {marked.threshold:.3g}")
    ax.set_ylim(0, _HEADROOM)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
    _finish(ax, "threshold", f"of {sweep.relevant} relevant among {sweep.passages}")
    return ax


def _threshold(ax: Axes, threshold: float, label: str) -> None:
    ax.axvline(threshold, ymax=1 / _HEADROOM, color=BLACK, linestyle="-.", linewidth=1.5, label=label)


def _bins(scores: Sequence[float], threshold: float | None) -> int | list[float]:
    """How many bins, or their borders: a threshold among the scores is one, that no bar lie on both sides."""
    least, most = min(scores), max(scores)
    count = max(5, min(40, round(2 * sqrt(len(scores)))))
    width = (most - least) / count
    step = ulp(max(abs(least), abs(most)))
    if width < _LEAST_BIN * step:
        margin = max(0.5, _LEAST_BIN * step)
        return [least - margin, most + margin]
    if threshold is None or not least < threshold <= most:
        return count
    below, above = ceil((threshold - least) / width), max(1, ceil((most - threshold) / width))
    borders = [threshold + number * width for number in range(-below, above + 1)]
    return [min(borders[0], least), *borders[1:-1], max(borders[-1], most)]


def _finish(ax: Axes, across: str, up: str) -> None:
    ax.set_xlabel(across)
    ax.set_ylabel(up)
    ax.legend(
        loc="upper center", ncols=4, frameon=False, fontsize="small", handlelength=1.6, columnspacing=1.2
    )
    bare(ax, "top", "right")
