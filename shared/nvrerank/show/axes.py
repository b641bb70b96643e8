"""What the plots share: axes, colours, and texts in characters that the fonts have.

Nothing global is changed: no style, no setting, nothing is shown. A figure of our own is made with pyplot,
so that a notebook shows it.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from nvrerank.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart by the colour-blind too
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"
GREY = "#8C8C8C"
BLACK = "#222222"

# Asked for when the fonts that the user has set lack a character
_FALLBACK_FONTS = (
    *("Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "PingFang SC", "Microsoft YaHei"),
    *("Yu Gothic", "Malgun Gothic", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari"),
    *("Nirmala UI", "Arial Unicode MS"),
)
_MISSING = "\u25a1"


def axes_for(ax: Axes | None, *, width: float, height: float) -> Axes:
    """The caller's axes, or those of a new figure of `width` by `height` inches.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise MissingExtraError("a plot needs matplotlib: pip install 'nvrerank[show]'") from error
    return plt.figure(figsize=(width, height), layout="constrained").add_subplot()


def size_in_points(ax: Axes) -> tuple[float, float]:
    """About how wide and high axes are, in points (1/72 inch)."""
    scale = 72 / ax.figure.dpi
    return ax.bbox.width * scale, ax.bbox.height * scale


class FontCoverage:
    """Which characters can be drawn, and with which fonts.

    Attributes:
        families: The fonts, in the order in which they are asked.
    """

    def __init__(self) -> None:
        from matplotlib.font_manager import FontProperties, findfont, get_font

        self.families: list[str] = []
        self._covered: AbstractSet[int] = set()
        for family in (*FontProperties().get_family(), *_FALLBACK_FONTS):
            try:
                path = findfont(FontProperties(family=[family]), fallback_to_default=False)
            except ValueError:
                continue  # not installed
            self.families.append(family)
            self._covered |= get_font(path).get_charmap().keys()

    def fitted(self, text: str, width: float) -> str | None:
        """A text on one line, shortened to `width` characters; None: most of it can't be drawn."""
        line = "".join(character for character in " ".join(text.split()) if character.isprintable())
        short = _shortened(line, width)
        drawn = "".join(character if ord(character) in self._covered else _MISSING for character in short)
        lost = sum(before != after for before, after in zip(short, drawn, strict=True))
        return None if 2 * lost > len(short) else drawn


def _shortened(line: str, width: float) -> str:
    """The line's beginning; an East Asian character is as wide as two."""
    used = 0.0
    for place, character in enumerate(line):
        used += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used > width:
            return line[: max(0, place - 1)].rstrip() + "…"
    return line
