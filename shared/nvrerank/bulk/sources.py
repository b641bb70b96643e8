"""What rows are read from, a batch at a time, and what is written of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from .plan import Layout, Shard
from .scoring import Answer, Row

MOST_BYTES = 16 << 20  # of rows that are held at once, about
MOST_ROWS = 1024  # that are read at once


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns are called.

    Attributes:
        query: The query's.
        passage: The passage's, or the list's.
        id: The rows' ids, which the report names; None: it numbers them.
        prefix: Stands before the names of those that are added.
    """

    query: str = "query"
    passage: str = "passage"
    id: str | None = None
    prefix: str = ""

    @property
    def needed(self) -> list[str]:
        """Those that the input has to have."""
        return [self.query, self.passage, *([] if self.id is None else [self.id])]

    def added(self, *, listed: bool) -> list[str]:
        """Those that the output has beside it."""
        names = ("score", "rank", "error") if listed else ("score", "error")
        return [self.prefix + name for name in names]

    def checked(self, there: Sequence[str], where: Path | str, *, listed: bool) -> None:
        """Refuses names that are not there, and those of ours that are.

        Raises:
            ValueError: A column is missing, or would be replaced.
        """
        for name in self.needed:
            if name not in there:
                raise ValueError(f"{where} has no column {name!r}: it has {', '.join(there)}")
        if taken := [name for name in self.added(listed=listed) if name in there]:
            raise ValueError(
                f"{where} has a column {taken[0]!r} already: give a prefix, such as prefix='rerank_', for "
                "the columns that are added"
            )


@dataclass(slots=True)
class Batch:
    """Rows that are asked for together.

    Attributes:
        rows: As they were read: record batches or lists of lines.
        asked: What is asked of each.
        ids: Their ids, where there are such.
    """

    rows: list[Any] = field(default_factory=list)
    asked: list[Row] = field(default_factory=list)
    ids: list[object] = field(default_factory=list)


class Source(ABC):
    """Files of one kind; a `Shard`'s file is a place in them.

    Attributes:
        suffix: That of the output's files.
        listed: Whether a row has a list of passages.
        pairs_in_a_row: About how many; known after `layout`.
        scored_schema: The output's columns; None: it is lines.
    """

    suffix: ClassVar[str]
    listed: bool
    pairs_in_a_row: float = 1.0
    scored_schema: pa.Schema | None = None

    def __init__(self, files: Sequence[Path], columns: Columns) -> None:
        self.files, self.columns = list(files), columns

    @abstractmethod
    def layout(self) -> Layout:
        """Where each file can be read from."""

    @abstractmethod
    def pieces(self, file: int, at: int) -> Iterator[Any]:
        """The rows from there to the file's end: record batches or lists of lines."""

    @abstractmethod
    def asked(self, piece: Any) -> tuple[list[Row], list[object]]:
        """What is asked of its rows, and their ids where there are such."""

    @abstractmethod
    def with_scores(self, batch: Batch, answer: Answer) -> Any:
        """The batch's rows with what is added: a table, or lines."""

    def batches(self, shards: Sequence[Shard], size: int) -> Iterator[tuple[Shard, Batch]]:
        """The rows of shards, which come in order, in batches of about `size` pairs; a batch is of one shard.

        The same shard has the same batches whoever reads it.
        """
        for (file, at), own in groupby(shards, lambda shard: (shard.file, shard.at)):
            rows = _Rows(self.pieces(file, at))
            for shard in own:
                rows.skip_to(shard.skip)
                for batch in self._batches(rows.take(shard.rows), size):
                    yield shard, batch

    def _batches(self, pieces: Iterator[Any], size: int) -> Iterator[Batch]:
        batch, pairs, held = Batch(), 0, 0.0
        for piece in pieces:
            asked, ids = self.asked(piece)
            weight = _bytes(piece) / max(1, len(asked))
            start = 0
            for end, (_, passages) in enumerate(asked, start=1):
                pairs += len(passages) if self.listed and isinstance(passages, list) else 1
                held += weight
                if pairs >= size or held >= MOST_BYTES or end == len(asked):
                    batch.rows.append(piece[start:end])
                    batch.asked += asked[start:end]
                    batch.ids += ids[start:end]
                    start = end
                if pairs >= size or held >= MOST_BYTES:
                    yield batch
                    batch, pairs, held = Batch(), 0, 0.0
        if batch.rows:
            yield batch


class _Rows:
    """Rows taken from pieces, one after another."""

    def __init__(self, pieces: Iterator[Any]) -> None:
        self._pieces, self._position = pieces, 0
        self._piece: Any = None

    def skip_to(self, position: int) -> None:
        for _ in self.take(position - self._position):
            pass

    def take(self, count: int) -> Iterator[Any]:
        while count > 0:
            piece: Any = next(self._pieces) if self._piece is None else self._piece
            now = min(count, len(piece))
            self._piece = piece[now:] if now < len(piece) else None
            self._position += now
            count -= now
            yield piece[:now]


def _bytes(piece: Any) -> int:
    return piece.nbytes if isinstance(piece, pa.RecordBatch) else sum(map(len, piece))
