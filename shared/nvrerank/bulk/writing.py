"""Writes tables and lines, and reads them again to put them together."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_ROW_GROUP_BYTES = 32 << 20

Write = Callable[[Any], None]
"""Writes a table, or lines."""


class WholeFile(io.FileIO):
    """Writes all of it or raises; without a buffer, which could not be emptied on a full disk."""

    def write(self, data: Any) -> int:
        """As a buffered file does."""
        left = memoryview(data).cast("B")
        while left:
            left = left[super().write(left) :]
        return memoryview(data).nbytes


@contextmanager
def writing_lines(stream: WholeFile) -> Iterator[Write]:
    """Writes lines as they come."""

    def write(lines: Iterable[bytes]) -> None:
        stream.write(b"".join(lines))

    yield write


@contextmanager
def writing_table(stream: WholeFile, schema: pa.Schema) -> Iterator[Write]:
    """Gathers tables into row groups of a size that others read well."""
    held: list[pa.Table] = []
    writer = pq.ParquetWriter(stream, schema, write_batch_size=128)  # after which a page may be full

    def write(table: pa.Table) -> None:
        held.append(table)
        if sum(one.nbytes for one in held) >= _ROW_GROUP_BYTES:
            flush()

    def flush() -> None:
        if held:
            writer.write_table(pa.concat_tables(held))
            held.clear()

    try:
        yield write
        flush()
        writer.close()
    except BaseException:
        stream.seek(0)
        stream.truncate()  # makes room on a full disk: the writer ends what it began, whatever we do
        with suppress(OSError):
            writer.close()
        raise


def pieces_of(part: Path, suffix: str) -> Iterator[Any]:
    """What a shard's file holds, as it is written."""
    if suffix == ".parquet":
        with pq.ParquetFile(part) as file:
            for at in range(file.num_row_groups):
                yield file.read_row_group(at)
    else:
        with part.open("rb") as stream:
            while lines := stream.read(1 << 20):
                yield [lines]
