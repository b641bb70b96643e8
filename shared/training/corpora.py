"""The training rows of the data folder. Knows files, no model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainingRow:
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


def read_rows(folder: Path) -> list[TrainingRow]:
    """Read every English training row, in the order of the file names."""
    return [
        TrainingRow(
            query=str(row["query"]),
            passage=str(row["positive"]),
            title=str(row["title"] or ""),
            answer=str(row.get("answer") or ""),
            source=path.stem,
        )
        for path in sorted(folder.glob("*.jsonl"))
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())
        if row["lang"] == "en"
    ]
