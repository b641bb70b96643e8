"""Scores kept on disk as they come: JSON lines, only ever appended to; and the fingerprints they are kept by.

A file's name and first line hold a fingerprint of everything that decides a score: change the model or the
corpus and another file is begun. What a crash tore off its last line is cut away when it is next opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, Self

from nvrerank.data_file import DataFile

from .task import Task

_FORMAT = 1
_LONGEST = 80


class ScoreCache:
    """The scores of one task by one scorer; one line for each call's answer about a query.

    Args:
        folder: Where score files are; None: scores are kept in memory only.
        task: What is scored.
        label: What the scorer is called.
        identity: What of the scorer decides a score; JSON.

    Raises:
        DataError: A line that is not the last is broken.
    """

    def __init__(self, folder: Path | None, task: Task, label: str, identity: Mapping[str, object]) -> None:
        self.task = task
        self._scores: dict[str, dict[str, float]] = {}
        passages = fingerprint_of_texts(task.passages)
        self._head = {"format": _FORMAT, "passages": passages, "scorer": dict(identity)}
        mark = fingerprint(json.dumps(self._head, sort_keys=True))
        self.path = None if folder is None else folder / f"{slug(task.label)}.{slug(label)}.{mark}.jsonl"
        self._stream: BinaryIO | None = None
        if self.path is not None and self.path.exists():
            self._load(self.path)

    def scores(self, query: str) -> Mapping[str, float]:
        """A query's scores so far, by passage id."""
        return self._scores.get(query, {})

    def add(self, answers: Iterable[tuple[str, Mapping[str, float]]]) -> None:
        """Keeps each query's scores by passage id; they are on the disk when this returns."""
        lines: list[Mapping[str, object]] = []
        for query, scores in answers:
            self._scores.setdefault(query, {}).update(scores)
            text = fingerprint(self.task.queries[query])
            lines.append({"query": query, "text": text, "scores": dict(scores)})
        if self.path is not None:
            self._append(self.path, lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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
                what = "a broken line among kept scores: delete it, or the file"
                raise DataFile(path).broken(number, what) from error
            if query in self.task.queries and text == fingerprint(self.task.queries[query]):
                self._scores.setdefault(query, {}).update(scores)


def fingerprint(text: str) -> str:
    """Fingerprint of one text."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def fingerprint_of_texts(texts: Mapping[str, str]) -> str:
    """Fingerprint of ids and texts, in order."""
    digest = hashlib.blake2b(digest_size=16)
    for key, text in texts.items():
        digest.update(f"{len(key)} {len(text)} {key}{text}".encode(errors="surrogatepass"))
    return digest.hexdigest()


def slug(label: str) -> str:
    """A label as part of a file's name."""
    safe = re.sub(r"[^\w.+-]+", "_", label).strip("_.") or "_"
    return safe if len(safe) <= _LONGEST else f"{safe[:_LONGEST]}-{fingerprint(label)}"
