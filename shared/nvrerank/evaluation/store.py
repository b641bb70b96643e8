"""Scores kept on disk as they come: JSON lines, only ever appended to.

A file's name and first line hold a fingerprint of everything that decides a score: change the model or the
corpus and another file is begun. What a crash tore off its last line is cut away when it is next opened.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from .digests import of_text, of_texts, slug
from .errors import broken
from .task import Task

_FORMAT = 1


class ScoreStore:
    """The scores of one task by one scorer; one line for each call's answer about a query.

    Args:
        folder: Where score files are; None: scores are kept in memory only.
        task: What is scored.
        label: What the scorer is called.
        identity: What of the scorer decides a score; JSON.

    Attributes:
        task: What is scored.
        path: The file; None: there is none.

    Raises:
        DataError: A line that is not the last is broken.
    """

    def __init__(self, folder: Path | None, task: Task, label: str, identity: Mapping[str, object]) -> None:
        self.task = task
        self._scores: dict[str, dict[str, float]] = {}
        self._head = _head(task, identity)
        mark = of_text(json.dumps(self._head, sort_keys=True))
        self.path = None if folder is None else folder / f"{slug(task.label)}.{slug(label)}.{mark}.jsonl"
        self._stream: BinaryIO | None = None
        if self.path is not None and self.path.exists():
            self._load(self.path)

    def scores(self, query: str) -> Mapping[str, float]:
        """A query's scores so far, by passage id."""
        return self._scores.get(query, {})

    def add(self, answers: Iterable[tuple[str, Mapping[str, float]]]) -> None:
        """Keeps what was scored; it is on the disk when this returns.

        Args:
            answers: For each query its scores by passage id.
        """
        lines = []
        for query, scores in answers:
            self._scores.setdefault(query, {}).update(scores)
            lines.append({"query": query, "text": of_text(self.task.queries[query]), "scores": dict(scores)})
        if self.path is not None:
            self._append(self.path, lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _append(self, path: Path, lines: Iterable[Mapping[str, object]]) -> None:
        if self._stream is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("ab")
            if self._stream.tell() == 0:
                lines = [self._head, *lines]
        self._stream.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def _load(self, path: Path) -> None:
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
        for number, raw in enumerate(content[:whole].splitlines()[1:], start=2):
            try:
                line = json.loads(raw)
                query, text = line["query"], line["text"]
                scores = {passage: float(score) for passage, score in line["scores"].items()}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise broken(
                    path, number, "a broken line among kept scores: delete it, or the file"
                ) from error
            if query in self.task.queries and text == of_text(self.task.queries[query]):
                self._scores.setdefault(query, {}).update(scores)


def _head(task: Task, identity: Mapping[str, object]) -> dict[str, object]:
    return {"format": _FORMAT, "passages": of_texts(task.passages), "scorer": dict(identity)}
