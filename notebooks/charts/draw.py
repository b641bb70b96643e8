"""Draws the charts of the library's annual report: `python notebooks/charts/draw.py`, after a change here.

What each shows is also written into its PNG, as the text "Description", for whom or what can't see it.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from PIL import Image
from PIL.PngImagePlugin import PngInfo

FOLDER = Path(__file__).parent
LICENCE = "CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/"
GREEN, ORANGE, GREY = "#5b8c00", "#c8641e", "#9a9a9a"

LOANS = {
    "Jan": 212, "Feb": 238, "Mar": 405, "Apr": 561, "May": 690, "Jun": 634,
    "Jul": 587, "Aug": 298, "Sep": 463, "Oct": 420, "Nov": 301, "Dec": 176,
}  # fmt: skip
ITEMS = {
    "cordless drill": 402, "party tent": 371, "cargo trailer": 318, "ladder": 290, "floor sander": 233,
    "sewing machine": 181, "projector": 166, "wood chipper": 94,
}  # fmt: skip
REPAIRS = {
    "lamps": (58, 6), "clothes": (97, 9), "toasters": (41, 12),
    "bicycles": (66, 18), "radios": (29, 25), "printers": (8, 31),
}  # fmt: skip
MEMBERS = {2018: 214, 2019: 268, 2020: 251, 2021: 330, 2022: 412, 2023: 455, 2024: 561, 2025: 618}
DESK = {"Tuesday": (14, 31, 22, 9), "Thursday": (11, 24, 19, 6), "Saturday": (28, 47, 52, 36)}
DARK = 30
DOTS = {
    "green": ("dot", "may use chainsaw, chipper, grinder"),
    "red": ("label", "another 100 of deposit"),
    "yellow": ("card", "read before switching on"),
    "blue": ("collar", "lead for outdoors"),
}
ROOMS = {
    "Desk": (0, 0, 3, 2), "Shelves": (3, 0, 5, 2), "Workshop": (0, 2, 4, 3), "Lavatory": (4, 3.5, 2, 1.5),
    "Kettle": (4, 2, 2, 1.5), "Stairs up": (6, 2, 2, 3),
}  # fmt: skip


def loans(axes: Axes) -> str:
    """Loans of each month."""
    bars = axes.bar(list(LOANS), list(LOANS.values()), color=GREEN)
    axes.bar_label(bars, fontsize=7)
    axes.set_title("Loans by month, 2025")
    most, least = max(LOANS, key=LOANS.__getitem__), min(LOANS, key=LOANS.__getitem__)
    return f"Bar chart: loans by month, 2025. {_listed(LOANS)}. Busiest month {most}, quietest month {least}."


def items(axes: Axes) -> str:
    """How often the most popular things went out."""
    bars = axes.barh(list(ITEMS)[::-1], list(ITEMS.values())[::-1], color=GREEN)
    axes.bar_label(bars, fontsize=8, padding=2)
    axes.margins(x=0.1)
    axes.set_title("Borrowed most often, 2025")
    return f"Bar chart: the most popular things, by how often they were borrowed in 2025. {_listed(ITEMS)}."


def repairs(axes: Axes) -> str:
    """What the repair evenings mended, and what they did not."""
    mended, not_mended = zip(*REPAIRS.values(), strict=True)
    bars = axes.bar(list(REPAIRS), mended, color=GREEN, label="went home working")
    axes.bar_label(bars, label_type="center")
    bars = axes.bar(list(REPAIRS), not_mended, bottom=mended, color=ORANGE, label="could not be repaired")
    axes.bar_label(bars, label_type="center")
    axes.legend(frameon=False)
    axes.set_title("Repair evenings, 2025")
    told = (f"{name} {good} repaired and {bad} not" for name, (good, bad) in REPAIRS.items())
    return f"Stacked bar chart: repair evenings, 2025, by kind of thing. {', '.join(told)}."


def members(axes: Axes) -> str:
    """Members at the end of each year."""
    axes.plot(list(MEMBERS), list(MEMBERS.values()), color=GREEN, marker="o")
    for year, number in MEMBERS.items():
        axes.text(year, number + 25, str(number), ha="center", fontsize=8)
    axes.set_ylim(0, 720)
    axes.set_title("Members at the end of the year")
    fell = [year for year in list(MEMBERS)[1:] if MEMBERS[year] < MEMBERS[year - 1]]
    return (
        f"Line chart: members at the end of each year. {_listed(MEMBERS)}. They were fewer only in {fell[0]}."
    )


def desk(axes: Axes) -> str:
    """How many people come at which hour."""
    axes.imshow(list(DESK.values()), cmap="Greens", aspect="auto", vmin=0)
    for row, counts in enumerate(DESK.values()):
        for column, count in enumerate(counts):
            colour = "white" if count > DARK else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
    axes.set_yticks(range(len(DESK)), list(DESK))
    axes.set_xticks(range(4), ["1st hour", "2nd hour", "3rd hour", "4th hour"])
    axes.set_title("Visitors at the desk, by hour of opening")
    told = (f"{day} {', '.join(map(str, counts))}" for day, counts in DESK.items())
    return (
        f"Heat map: visitors at the desk on average, by day and hour of opening. {'; '.join(told)}. The "
        "longest queue is in the third hour of Saturday, the shortest in the last hour of Thursday."
    )


def plan(axes: Axes) -> str:
    """The rooms of the ground floor."""
    for name, (left, bottom, width, height) in ROOMS.items():
        axes.add_patch(Rectangle((left, bottom), width, height, facecolor="white", edgecolor="0.2"))
        axes.text(left + width / 2, bottom + height / 2, name, ha="center", va="center", fontsize=9)
    axes.text(2, 5.15, "door to the yard (no step)", ha="center", fontsize=8, color=GREEN)
    axes.text(1.5, -0.45, "door to Pump Lane (two steps)", ha="center", fontsize=8, color=ORANGE)
    axes.set(xlim=(-0.2, 8.2), ylim=(-0.7, 5.6), aspect="equal", title="Ground floor")
    axes.axis("off")
    return (
        "Floor plan of the ground floor: in front, at the door to Pump Lane, the desk, shelves to "
        "the right; behind it the workshop with the door to the yard; beside the workshop the lavatory and "
        "the kettle, then the stairs up."
    )


def dots(axes: Axes) -> str:
    """What the colours on cards and things mean."""
    for row, (colour, (thing, meaning)) in enumerate(DOTS.items()):
        axes.add_patch(Circle((0.6, 3 - row), 0.3, color="gold" if colour == "yellow" else colour))
        axes.text(1.2, 3 - row, f"{thing}: {meaning}", va="center", fontsize=11)
    axes.set(xlim=(0, 8), ylim=(-0.6, 3.6), aspect="equal", title="Colours on cards and things")
    axes.axis("off")
    told = (f"{colour} {thing}: {meaning}" for colour, (thing, meaning) in DOTS.items())
    return f"Legend: what the colours on cards and things mean. {'; '.join(told)}."


def _listed(numbers: dict[str, int] | dict[int, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())


def drawn(draw: Callable[[Axes], str]) -> tuple[Image.Image, PngInfo]:
    """A chart in 32 colours, and what is written into its file."""
    figure: Figure
    figure, axes = plt.subplots(figsize=(5.4, 3.2), dpi=100, layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    about = PngInfo()
    about.add_text("Description", draw(axes))
    about.add_text("Copyright", LICENCE)
    with BytesIO() as file:
        figure.savefig(file, format="png")
        plt.close(figure)
        return Image.open(file).convert("RGB").quantize(32, dither=Image.Dither.NONE), about


if __name__ == "__main__":
    for draw in (loans, items, repairs, members, desk, plan, dots):
        image, about = drawn(draw)
        image.save(FOLDER / f"{draw.__name__}.png", pnginfo=about, optimize=True)
