"""Sets to choose a checkpoint by, from rows that training never saw, in the layout of the evaluation sets."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

from training.corpora import TrainingRow, read_rows
from training.mining import sampled

UNSEEN = ("selqa",)  # sources that are held out whole
SIZE = 1000  # rows of a source, and their passages


def held_out(rows: Sequence[TrainingRow], source: str) -> list[TrainingRow]:
    """Draw rows of a source that were not given to mining."""
    of_source = [row for row in rows if row.source == source]
    seen = set() if source in UNSEEN else set(sampled(of_source))
    rest = [row for row in of_source if row not in seen]
    return random.Random(1).sample(rest, min(SIZE, len(rest)))


def write(rows: Sequence[TrainingRow], folder: Path) -> None:
    """Write the rows as corpus, queries and qrels."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    passages = {text: f"p{number}" for number, text in enumerate(dict.fromkeys(row.text for row in rows))}
    _lines(
        folder / "corpus.jsonl", [{"_id": key, "title": "", "text": text} for text, key in passages.items()]
    )
    _lines(folder / "queries.jsonl", [{"_id": f"q{n}", "text": row.query} for n, row in enumerate(rows)])
    qrels = [f"q{n}\t{passages[row.text]}\t1" for n, row in enumerate(rows)]
    (folder / "qrels" / "test.tsv").write_text(
        "\n".join(["query-id\tcorpus-id\tscore", *qrels]) + "\n", encoding="utf-8"
    )


def _lines(path: Path, rows: Sequence[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    """Write one set for each source."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder with train/")
    parser.add_argument("--out", type=Path, required=True, help="gets eval/<source>/, for `nvrerank eval`")
    args = parser.parse_args()
    rows = read_rows(args.data / "train")
    for source in (*UNSEEN, "squadshifts_new_wiki", "stackexchange", "medquad"):
        write(held_out(rows, source), args.out / "eval" / source)


if __name__ == "__main__":
    main()
