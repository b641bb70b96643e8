"""Files of data, line by line: texts by id as BEIR has them, TREC runs; an error names file and line."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from .texts import encodable, is_blank

T = TypeVar("T")

REPEATED = "lines that are there twice, read once"
BLANK_QUERIES = "blank queries, left out"


class DataError(ValueError):
    """A data set or a run file can't be used as it is; the message names file and line."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file that is read. Lines that are odd but can be passed over are counted by kind, or refused."""

    path: Path
    strict: bool = False
    remarks: Counter[str] = field(default_factory=Counter)

    def broken(self, line: int, what: str) -> DataError:
        """The error for a line, numbered from 1."""
        return DataError(f"{self.path}:{line}: {what}")

    def odd(self, line: int, kind: str, what: str) -> None:
        """Counts a line that is passed over, or raises its error."""
        if self.strict:
            raise self.broken(line, what)
        self.remarks[kind] += 1

    def put(self, line: int, known: dict[str, T], key: str, value: T, *, twice: str, values: str) -> None:
        """Adds what a line says, which another may repeat but not contradict; the words are for the error."""
        if key in known:
            if known[key] != value:
                raise self.broken(line, f"{twice}, with different {values}")
            self.odd(line, REPEATED, twice)
        known[key] = value

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines, gzipped or not, that are not blank, with their numbers from 1.

        Raises:
            DataError: The file can't be read, or a line is not UTF-8.
        """
        try:
            with opened(self.path) as stream:
                for number, raw in enumerate(stream, start=1):
                    try:
                        text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                    except UnicodeDecodeError as error:
                        what = f"not UTF-8: {error.reason} at byte {error.start}"
                        raise self.broken(number, what) from error
                    if text.strip():
                        yield number, text
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self.path} can't be read: {getattr(error, 'strerror', 0) or error}") from error

    def texts(self, *, titled: bool) -> dict[str, str]:
        """Texts by id from lines of JSON.

        Args:
            titled: Whether these are passages: with a title in front, as BEIR has it, of which either may
                be missing, and blank ones stay.

        Raises:
            DataError: A line is broken, an id has two texts, or there is no text.
        """
        texts: dict[str, str] = {}
        for number, key, text in self.each_text(titled=titled):
            if titled or not is_blank(text):
                self.put(number, texts, key, text, twice=f"the id {key!r} is there twice", values="texts")
            else:
                self.odd(number, BLANK_QUERIES, f"query {key!r} is blank")
        if not texts:
            raise DataError(f"{self.path} is empty")
        return texts

    def each_text(self, *, titled: bool) -> Iterator[tuple[int, str, str]]:
        """As `texts`, one after another with their numbers: number, id, text."""
        for number, record in self._records():
            key = self._id(number, record)
            title = self._string(number, record, "title", may_lack=True) if titled else ""
            may_lack = "text" in record or (titled and "title" in record)
            yield number, key, f"{title} {self._string(number, record, 'text', may_lack=may_lack)}".strip()

    def run_rows(self) -> Iterator[tuple[int, str, str, float, float]]:
        """Number, query, passage, score and rank of each line of a TREC run.

        Raises:
            DataError: A line is broken.
        """
        for number, line in self.lines():
            columns = line.split(maxsplit=5)  # the tag may hold spaces, or be missing
            if len(columns) < 5:  # noqa: PLR2004
                what = "a line of a run has six columns: query, Q0, passage, rank, score, tag"
                raise self.broken(number, what)
            query, _, passage, rank, score = columns[:5]
            try:
                value, place = float(score), float(rank)
            except ValueError as error:
                raise self.broken(number, f"rank {rank!r} or score {score!r} is not a number") from error
            if not math.isfinite(value):
                raise self.broken(number, f"the score {score!r} is not a finite number")
            yield number, query, passage, value, place

    def _records(self) -> Iterator[tuple[int, dict[str, object]]]:
        for number, line in self.lines():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise self.broken(number, f"not JSON: {error}") from error
            if not isinstance(record, dict):
                raise self.broken(number, f"not a JSON object but {line:.40}")
            yield number, record

    def _id(self, number: int, record: dict[str, object]) -> str:
        """`_id` or `id`: a string that a run file can hold too, or a whole number."""
        key = "id" if "id" in record and "_id" not in record else "_id"
        if isinstance(value := record.get(key), int) and not isinstance(value, bool):
            return str(value)
        text = self._string(number, record, key)
        if text.split() != [text]:
            what = f"the id {text!r:.60} is empty or holds white space, which run files can't"
            raise self.broken(number, what)
        return text

    def _string(self, number: int, record: dict[str, object], key: str, *, may_lack: bool = False) -> str:
        value = record.get(key)
        if value is None and may_lack:
            return ""
        if not isinstance(value, str):
            what = "missing" if value is None else f"{value!r:.40}, not a string"
            raise self.broken(number, f"{key!r} is {what}")
        return encodable(value)


def opened(path: Path) -> BinaryIO:
    """By what it begins with, not by its name: a file that was downloaded may have lost its ending."""
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return cast("BinaryIO", gzip.open(path)) if packed else path.open("rb")
