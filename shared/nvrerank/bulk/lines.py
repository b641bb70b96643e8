"""JSON lines as a source."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from nvrerank.data_file import opened

from .plan import Layout
from .scoring import Answer, Row, ranks
from .sources import MOST_BYTES, MOST_ROWS, Batch, Columns, Source


class JsonLines(Source):
    """JSON lines; a line goes to the output as it is, with the columns that are added at its end."""

    suffix = ".jsonl"

    def __init__(self, files: Sequence[Path], columns: Columns) -> None:
        super().__init__(files, columns)
        first = next(
            (line for file in range(len(files)) for piece in self.pieces(file, 0) for line in piece), b""
        )
        row = _record(first) or {}
        self.listed = isinstance(row.get(columns.passage), list)
        if row:
            columns.checked(list(row), self.files[0], listed=self.listed)

    def layout(self) -> Layout:
        """Every few lines; a gzipped file is read from its beginning."""
        return [_line_places(path) for path in self.files]

    def pieces(self, file: int, at: int) -> Iterator[list[bytes]]:
        """The lines from a byte on that are not blank."""
        with opened(self.files[file]) as stream:
            stream.seek(at)
            lines: list[bytes] = []
            held = 0
            for line in stream:
                if line.strip():
                    lines.append(line)
                    held += len(line)
                if len(lines) == MOST_ROWS or held >= MOST_BYTES / 4:
                    yield lines
                    lines, held = [], 0
            if lines:
                yield lines

    def asked(self, piece: Sequence[bytes]) -> tuple[list[Row], list[object]]:
        """What is asked of its rows, and their ids where there are such; a broken line has neither."""
        records = [_record(line) or {} for line in piece]
        asked: list[Row] = [(one.get(self.columns.query), one.get(self.columns.passage)) for one in records]
        return asked, [one.get(self.columns.id) for one in records if self.columns.id]

    def with_scores(self, batch: Batch, answer: Answer) -> Iterator[bytes]:
        """The batch's lines with what is added; a broken one is kept as a text.

        Raises:
            ValueError: A line has one of the names that are added.
        """
        names = self.columns.added(listed=self.listed)
        lines = (line.strip() for piece in batch.rows for line in piece)
        for read, scores, error in zip(lines, answer.scores, answer.errors, strict=True):
            record, line, fault = _record(read), read, error
            if record is None:
                line, fault = _kept(read), "the line is not a JSON object"
            elif taken := [name for name in names if name in record]:
                raise ValueError(f"a row has {taken[0]!r} already: give a prefix for what is added")
            values = (scores, ranks(scores), fault) if self.listed else (*(scores or [None]), fault)
            added = json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False)
            inner = line[:-1].rstrip()
            yield inner + (b"" if inner.endswith(b"{") else b", ") + added[1:].encode() + b"\n"


def _line_places(path: Path) -> list[tuple[int, int]]:
    """Where every 1,024th line begins, with how many there are up to the next; blank ones do not count."""
    places: list[tuple[int, int]] = []
    begun = at = rows = 0
    with opened(path) as stream:
        for line in stream:
            at += len(line)
            rows += bool(line.strip())
            if rows == MOST_ROWS and not isinstance(stream, gzip.GzipFile):
                places.append((begun, rows))
                begun, rows = at, 0
    return [*places, (begun, rows)] if rows else places


def _record(line: bytes) -> dict[str, object] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _kept(line: bytes) -> bytes:
    return json.dumps({"line": line.decode(errors="replace")}, ensure_ascii=False).encode()
