"""`python -m training.weak --out FOLDER`: fetches what is missing and writes the rows of each source."""

from __future__ import annotations

import argparse
import random
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path

from training.corpora import write_rows
from training.weak import descriptions, docstrings, fetch, html_pages, man_pages, manuals
from training.weak.rows import MOST_ENGLISH, Entries, rows_of

ENGLISH_ALONE = ("docstrings", "manuals")  # all their rows are used: no other language would be drowned


def main() -> None:
    """Makes the six files that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="the folder of the rows, and of what is fetched"
    )
    out: Path = parser.parse_args().out
    unpacked = out / "packages"
    documented = cache(lambda: docstrings.entries(Path(sysconfig.get_path("purelib")), random.Random(7)))
    sources: dict[str, Callable[[], Entries]] = {
        "descriptions": lambda: descriptions.entries(fetch.translations(out / "descriptions")),
        "man_pages": lambda: man_pages.entries(_fetched("man_pages", fetch.MAN_PAGES).rglob("man/**/*.gz")),
        "docstrings": documented,
        "help": lambda: html_pages.entries(_fetched("help", fetch.HELP)),
        "books": lambda: html_pages.entries(_fetched("books", fetch.BOOKS)),
        "manuals": lambda: manuals.entries(
            _fetched("manuals", [one.package for one in manuals.MANUALS]), documented(), random.Random(7)
        ),
    }

    def _fetched(name: str, packages: list[str]) -> Path:
        fetch.packages(packages, unpacked / name)
        return unpacked / name

    for name, entries in sources.items():
        file = out / f"{name}.jsonl"
        if not file.exists():
            made = entries()
            most = len(made) if name in ENGLISH_ALONE else MOST_ENGLISH
            write_rows(rows_of(name, made, random.Random(7), most), file)


if __name__ == "__main__":
    main()
