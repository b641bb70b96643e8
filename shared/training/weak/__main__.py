"""`python -m training.weak --out FOLDER`: fetches what is missing and writes the rows of each source."""

from __future__ import annotations

import argparse
import random
import sysconfig
from collections.abc import Callable
from pathlib import Path

from training.corpora import write_rows
from training.weak import descriptions, docstrings, fetch, html_pages, man_pages
from training.weak.rows import Entries, rows_of


def main() -> None:
    """Makes the five files that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="the folder of the rows, and of what is fetched"
    )
    out: Path = parser.parse_args().out
    unpacked = out / "packages"
    sources: dict[str, Callable[[], Entries]] = {
        "descriptions": lambda: descriptions.entries(fetch.translations(out / "descriptions")),
        "man_pages": lambda: man_pages.entries(_fetched("man_pages", fetch.MAN_PAGES).rglob("man/**/*.gz")),
        "docstrings": lambda: docstrings.entries(Path(sysconfig.get_path("purelib")), random.Random(7)),
        "help": lambda: html_pages.entries(_fetched("help", fetch.HELP)),
        "books": lambda: html_pages.entries(_fetched("books", fetch.BOOKS)),
    }

    def _fetched(name: str, packages: list[str]) -> Path:
        fetch.packages(packages, unpacked / name)
        return unpacked / name

    for name, entries in sources.items():
        file = out / f"{name}.jsonl"
        if not file.exists():
            write_rows(rows_of(name, entries(), random.Random(7)), file)


if __name__ == "__main__":
    main()
