"""Reading the data folder: BEIR-like evaluation sets and the training rows. Knows files, no model."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

EVAL_SETS = ("nq_hard", "hotpotqa_mini", "xquad", "chunking_eval", "pubmedqa", "tatqa")


@dataclass(frozen=True)
class EvalSet:
    """One evaluation set: passages and queries by id, and the relevant passages of each query."""

    name: str
    passages: dict[str, str]
    queries: dict[str, str]
    relevant: dict[str, frozenset[str]]


@dataclass(frozen=True)
class Row:
    """One training question with the passage that answers it."""

    query: str
    passage: str
    title: str
    answer: str
    source: str

    @property
    def text(self) -> str:
        """The passage as retrievers and the model see it: title, then text."""
        return f"{self.title} {self.passage}".strip()


def read_eval_set(folder: Path, name: str) -> EvalSet:
    """Read one set; of the sets in several languages the English files are taken."""
    suffix = "" if (folder / name / "corpus.jsonl").exists() else ".en"
    corpus = _lines(folder / name / f"corpus{suffix}.jsonl")
    queries = {str(row["_id"]): str(row["text"]) for row in _lines(folder / name / f"queries{suffix}.jsonl")}
    relevant: dict[str, set[str]] = {}
    with (folder / name / "qrels" / "test.tsv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            if int(row["score"]) > 0:
                relevant.setdefault(row["query-id"], set()).add(row["corpus-id"])
    return EvalSet(
        name=name,
        passages={str(row["_id"]): f"{row.get('title') or ''} {row['text']}".strip() for row in corpus},
        queries={key: text for key, text in queries.items() if key in relevant},
        relevant={key: frozenset(ids) for key, ids in relevant.items() if key in queries},
    )


def read_rows(folder: Path) -> list[Row]:
    """Read every English training row, in the order of the file names."""
    return [
        Row(
            query=str(row["query"]),
            passage=str(row["positive"]),
            title=str(row["title"] or ""),
            answer=str(row.get("answer") or ""),
            source=path.stem,
        )
        for path in sorted(folder.glob("*.jsonl"))
        for row in _lines(path)
        if row["lang"] == "en"
    ]


def _lines(path: Path) -> Iterator[dict[str, object]]:
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)
