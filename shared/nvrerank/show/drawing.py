"""What the plots share: axes, colours, and texts in letters that the fonts have.

Nothing global is changed: no style, no setting, nothing is shown. A figure of our own is made with pyplot,
so that a notebook shows it.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from .extra import open_pyplot

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart by the colour-blind too
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"
GREY = "#8C8C8C"
BLACK = "#222222"

# Asked for when the fonts that the user has set lack a letter
_MORE_FONTS = (
    "Noto Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Hiragino Sans",
    "PingFang SC",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Nirmala UI",
    "Arial Unicode MS",
)
_MISSING = "\u25a1"


def axes_for(ax: Axes | None, *, width: float, height: float) -> Axes:
    """The caller's axes, or those of a new figure of `width` by `height` inches."""
    if ax is not None:
        return ax
    made: Axes = open_pyplot().figure(figsize=(width, height), layout="constrained").add_subplot()
    return made


def points(ax: Axes) -> tuple[float, float]:
    """About how wide and high axes are, in points (1/72 inch)."""
    scale = 72 / ax.figure.dpi
    return ax.bbox.width * scale, ax.bbox.height * scale


def bare(ax: Axes, *sides: str) -> None:
    """Takes the frame's lines away on these sides."""
    for side in sides:
        ax.spines[side].set_visible(False)


class Letters:
    """Which letters can be drawn, and with which fonts."""

    def __init__(self) -> None:
        from matplotlib.font_manager import FontProperties, findfont, get_font

        self.families: list[str] = []
        self._drawn: AbstractSet[int] = set()
        for family in (*FontProperties().get_family(), *_MORE_FONTS):
            try:
                path = findfont(FontProperties(family=[family]), fallback_to_default=False)
            except ValueError:
                continue  # not installed
            self.families.append(family)
            self._drawn |= get_font(path).get_charmap().keys()

    def fitting(self, text: str, width: float) -> str | None:
        """A text on one line, shortened to `width` letters; None: most of it can't be drawn."""
        line = "".join(sign for sign in " ".join(text.split()) if sign.isprintable())
        short = _shortened(line, width)
        missing = {sign for sign in short if ord(sign) not in self._drawn}
        if 2 * sum(sign in missing for sign in short) > len(short):
            return None
        return "".join(_MISSING if sign in missing else sign for sign in short)


def _shortened(line: str, width: float) -> str:
    """The line's beginning; an East Asian letter is as wide as two."""
    used = 0.0
    for place, sign in enumerate(line):
        used += 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        if used > width:
            return line[: max(0, place - 1)].rstrip() + "…"
    return line
