"""Parquet and Arrow files as a source, and tables of any other origin."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .plan import Layout
from .scoring import Answer, Row, ranks
from .sources import MOST_BYTES, MOST_ROWS, Batch, Columns, Source


class _Tables(Source):
    """What Parquet and Arrow files have in common.

    Attributes:
        schema: The input's.
        scored_schema: The output's.
    """

    suffix = ".parquet"

    def __init__(self, files: Sequence[Path], columns: Columns) -> None:
        super().__init__(files, columns)
        self.schema: pa.Schema = self.schema_of(self.files[0])
        for path in self.files[1:]:
            if not self.schema_of(path).equals(self.schema):
                raise ValueError(f"{path} has other columns than {self.files[0]}, or other types")
        self.listed, self.scored_schema = _scored_schema(self.schema, columns, self.files[0])

    @abstractmethod
    def schema_of(self, path: Path) -> pa.Schema:
        """A file's schema."""

    def asked(self, piece: pa.RecordBatch) -> tuple[list[Row], list[object]]:
        """What is asked of its rows, and their ids where there are such."""
        queries, passages, *ids = (piece.column(name).to_pylist() for name in self.columns.needed)
        return list(zip(queries, passages, strict=True)), ids[0] if ids else []

    def with_scores(self, batch: Batch, answer: Answer) -> pa.Table:
        """The batch's rows with the columns that are added."""
        table = pa.Table.from_batches(batch.rows, self.schema)
        return _with_scores(table, answer, self.scored_schema, listed=self.listed)


def scored_table(table: pa.Table, columns: Columns, answer: Callable[..., Answer]) -> pa.Table:
    """A table with the columns that are added.

    Args:
        table: The rows.
        columns: What the columns are called.
        answer: Answers rows; told whether they have lists.

    Raises:
        ValueError: A column is missing, taken, or holds no text.
    """
    listed, schema = _scored_schema(table.schema, columns, "the dataset")
    rows = zip(*(table.column(name).to_pylist() for name in (columns.query, columns.passage)), strict=True)
    return _with_scores(table, answer(list(rows), listed=listed), schema, listed=listed)


def _scored_schema(schema: pa.Schema, columns: Columns, where: Path | str) -> tuple[bool, pa.Schema]:
    """Whether rows have lists, and the output's columns."""
    listed = columns.passage in schema.names and _is_list(schema.field(columns.passage).type)
    columns.checked(schema.names, where, listed=listed)
    for name in (columns.query, columns.passage):
        kind = schema.field(name).type
        if not _is_text(kind.value_type if listed and name == columns.passage else kind):
            raise ValueError(f"the column {name!r} of {where} has {kind}, not text: cast it")
    score, rank = (pa.list_(one) if listed else one for one in (pa.float64(), pa.int32()))
    types = (score, rank, pa.string()) if listed else (score, pa.string())
    added = map(pa.field, columns.added(listed=listed), types)
    kept = {key: value for key, value in (schema.metadata or {}).items() if key != b"huggingface"}
    return listed, pa.schema([*schema, *added], kept or None)


def _with_scores(table: pa.Table, answer: Answer, schema: pa.Schema, *, listed: bool) -> pa.Table:
    flat = [one[0] for one in answer.scores] if not listed else []
    added = (
        [answer.scores, list(map(ranks, answer.scores)), answer.errors] if listed else [flat, answer.errors]
    )
    types = schema.types[len(table.schema) :]
    arrays = [pa.array(values, kind) for values, kind in zip(added, types, strict=True)]
    return pa.Table.from_arrays([*table.columns, *arrays], schema=schema)


class ParquetFiles(_Tables):
    """Parquet files; read in pieces whatever the size of a row group."""

    def schema_of(self, path: Path) -> pa.Schema:
        """A file's schema."""
        return pq.read_schema(path)

    def layout(self) -> Layout:
        """Each row group."""
        groups = []
        for path in self.files:
            known = _metadata(path)
            groups.append([(at, known.row_group(at).num_rows) for at in range(known.num_row_groups)])
            if self.listed and known.num_rows:
                self.pairs_in_a_row = max(self.pairs_in_a_row, self._values(known) / known.num_rows)
        return groups

    def pieces(self, file: int, at: int) -> Iterator[pa.RecordBatch]:
        """The rows from a row group on; pages are read one after another, not a row group at once."""
        path = self.files[file]
        known = _metadata(path)
        bytes_in_a_row = max(
            (known.row_group(one).total_byte_size / max(1, known.row_group(one).num_rows))
            for one in range(at, min(known.num_row_groups, at + 64))
        )
        rows = min(MOST_ROWS, max(1, int(MOST_BYTES / 4 / max(1, bytes_in_a_row))))
        with pq.ParquetFile(path, metadata=known, pre_buffer=False, buffer_size=1 << 16) as opened_file:
            yield from opened_file.iter_batches(
                rows, row_groups=range(at, known.num_row_groups), use_threads=False
            )

    def _values(self, known: pq.FileMetaData) -> int:
        [leaf] = [
            place
            for place in range(known.num_columns)
            if known.schema.column(place).path.split(".")[0] == self.columns.passage
        ]
        groups = map(known.row_group, range(known.num_row_groups))
        return sum(group.column(leaf).num_values for group in groups)


def _metadata(path: Path) -> pq.FileMetaData:
    known = path.stat()
    return _metadata_of(path, known.st_mtime_ns, known.st_size)


@lru_cache(maxsize=4)
def _metadata_of(path: Path, _changed: int, _size: int) -> pq.FileMetaData:
    return pq.read_metadata(path)


class ArrowFiles(_Tables):
    """Arrow's IPC files and streams, as `datasets` saves them; mapped into memory, read as they are used."""

    def schema_of(self, path: Path) -> pa.Schema:
        """A file's schema."""
        with pa.memory_map(str(path)) as stream:
            return _ipc(stream).schema

    def layout(self) -> Layout:
        """Each file as a whole."""
        return [[(0, sum(map(len, self.pieces(file, 0))))] for file in range(len(self.files))]

    def pieces(self, file: int, at: int) -> Iterator[pa.RecordBatch]:
        """The file's record batches."""
        del at
        with pa.memory_map(str(self.files[file])) as stream:
            reader = _ipc(stream)
            if isinstance(reader, pa.RecordBatchStreamReader):
                yield from reader
            else:
                yield from map(reader.get_batch, range(reader.num_record_batches))


def _ipc(stream: pa.NativeFile) -> Any:
    begins = stream.read(6)
    stream.seek(0)
    return pa.ipc.open_file(stream) if begins == b"ARROW1" else pa.ipc.open_stream(stream)


def _is_list(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return any(test(kind) for test in tests)
