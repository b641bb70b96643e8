"""Files as numbered lines; whatever is broken is named by file and line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from nvrerank.texts import encodable

from .errors import DataError, broken

TWICE = "lines that are there twice, read once"


@dataclass(frozen=True, slots=True)
class Oddities:
    """Counts by kind what is odd in a file but can be passed over; refuses it where that is asked for."""

    path: Path
    strict: bool
    counts: Counter[str] = field(default_factory=Counter)

    def found(self, number: int, kind: str, what: str) -> None:
        """Takes note of a line.

        Raises:
            DataError: It is to be refused.
        """
        if self.strict:
            raise broken(self.path, number, what)
        self.counts[kind] += 1


def numbered(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file, gzipped or not, that are not blank, with their numbers from 1.

    Raises:
        DataError: It can't be read, or a line is not UTF-8.
    """
    try:
        with _opened(path) as stream:
            for number, raw in enumerate(stream, start=1):
                line = _decoded(path, number, raw)
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from error


def records(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """The objects of a JSON lines file, with the numbers of their lines.

    Raises:
        DataError: As `numbered`, or a line is not a JSON object.
    """
    for number, line in numbered(path):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise broken(path, number, f"not JSON: {error}") from error
        if not isinstance(record, dict):
            raise broken(path, number, f"not a JSON object but {line:.40}")
        yield number, record


def text_of(
    path: Path, number: int, record: dict[str, object], key: str, *, default: str | None = None
) -> str:
    """A record's string.

    Raises:
        DataError: It is missing, or no string.
    """
    value = record.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise broken(
            path, number, f"{key!r} is {'missing' if value is None else f'{value!r:.40}, not a string'}"
        )
    return encodable(value)


def id_of(path: Path, number: int, record: dict[str, object]) -> str:
    """A record's id, `_id` or `id`: a string that a run file can hold too, or a whole number.

    Raises:
        DataError: It is missing, empty, or holds white space.
    """
    key = "id" if "id" in record and "_id" not in record else "_id"
    value = record.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    text = text_of(path, number, record, key)
    if text.split() != [text]:
        raise broken(
            path, number, f"the id {text!r:.60} is empty or holds white space, which run files can't"
        )
    return text


def _opened(path: Path) -> BinaryIO:
    """By what it begins with, not by its name: a file that was downloaded may have lost its ending."""
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return cast("BinaryIO", gzip.open(path)) if packed else path.open("rb")


def _decoded(path: Path, number: int, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise broken(path, number, f"not UTF-8: {error.reason} at byte {error.start}") from error
