"""Where a run's results are kept: shards that are there whole or not at all, and a journal of them."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from .plan import differences
from .writing import WholeFile, Write, pieces_of, writing_lines, writing_table

_FORMAT = 1
_JOURNAL = "_bulk.jsonl"
_ENDINGS = {".parquet": (".parquet", ".pq"), ".jsonl": (".jsonl", ".ndjson")}


class Work:
    """A folder with shards, and a journal whose first line says of which run they are.

    A shard is in the journal before it has its name: one that has its name is never scored again. Another
    process that wants the folder meanwhile is refused.

    Args:
        output: A folder, which holds the shards, or a file, into which they are put together at the end;
            until then they are in a hidden folder beside it.
        suffix: That of the shards.

    Raises:
        ValueError: A file of another kind was named, or what is there is not a run's.
    """

    def __init__(self, output: Path, suffix: str) -> None:
        self.output, self.suffix = output, suffix
        if (
            any(output.name.endswith(one) for all_of in _ENDINGS.values() for one in all_of)
            and not output.is_dir()
        ):
            if output.suffix not in _ENDINGS[suffix]:
                raise ValueError(
                    f"this input's rows are written as {suffix}: name the output so, or a folder"
                )
            self.folder, self.single = output.with_name(f".{output.name}.bulk"), True
        else:
            self.folder, self.single = output, False
        if not self.single and output.exists() and not output.is_dir():
            raise ValueError(f"{output} is a file: name a folder, or a file that ends in {suffix}")
        self._journal: WholeFile | None = None
        self.done: dict[int, dict[str, Any]] = {}
        self.finished = False

    def begin(self, job: Mapping[str, object], *, resume: bool) -> None:
        """Opens the folder, and learns what is done.

        Args:
            job: What the run is known by; JSON.
            resume: Whether what is done of it stays; else it is deleted.

        Raises:
            ValueError: What is there is another run's or nobody's, or a process is writing there.
        """
        path = self.folder / _JOURNAL
        if not path.exists() and not self.single and self.folder.is_dir() and any(self.folder.iterdir()):
            raise ValueError(
                f"{self.folder} holds other files: name an empty folder, or one that is not there"
            )
        if self.single and resume and self.output.exists() and not path.exists():
            raise ValueError(
                f"{self.output} is there already: name another file, or write it anew without resuming"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._journal = _locked(path)
        head = {"format": _FORMAT, **json.loads(json.dumps(job))}
        known = self._read()
        if known and resume and (changed := differences(known[0], head)):
            raise ValueError(
                f"{self.folder} holds rows of another run; what differs: {changed}. Name another output, or "
                "write it anew (resume=False)"
            )
        if not known or not resume:
            self._clear()
            self._note(head)
        else:
            self._learn(known[1:])
        for part in self.folder.glob("*.tmp"):
            part.unlink()

    def part(self, number: int) -> Path:
        """A shard's file."""
        return self.folder / f"part-{number:05}{self.suffix}"

    @contextmanager
    def shard(self, number: int, schema: pa.Schema | None, told: Mapping[str, object]) -> Iterator[Write]:
        """Writes a shard; at the end it is on the disk, in the journal with what is told, and has its name.

        Raises:
            OSError: It can't be written; nothing is left of it.
        """
        with self._whole(
            self.part(number), schema, lambda size: {"shard": number, "bytes": size, **told}
        ) as write:
            yield write
        self.done[number] = dict(told)

    def finish(self, count: int, schema: pa.Schema | None) -> None:
        """Puts the shards together, where a file was asked for."""
        if not self.single or self.finished:
            return
        parts = [self.part(number) for number in range(count)]
        with self._whole(self.output, schema, lambda size: {"finished": size}) as write:
            for part in parts:
                for piece in pieces_of(part, self.suffix):
                    write(piece)
        self.finished = True
        for part in parts:
            part.unlink()

    def close(self) -> None:
        """Lets others in."""
        if self._journal is not None:
            self._journal.close()

    @contextmanager
    def _whole(
        self, path: Path, schema: pa.Schema | None, line: Callable[[int], Mapping[str, object]]
    ) -> Iterator[Write]:
        beside = self.folder / f"_{path.name}.tmp"
        try:
            with WholeFile(beside, "wb") as stream:
                with writing_lines(stream) if schema is None else writing_table(stream, schema) as write:
                    yield write
                os.fsync(stream.fileno())
                size = stream.tell()
            self._note(line(size))
            beside.replace(path)
            _sync_folder(path.parent)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    def _note(self, line: Mapping[str, object]) -> None:
        if self._journal is not None:
            self._journal.write(json.dumps(line).encode() + b"\n")
            os.fsync(self._journal.fileno())

    def _read(self) -> list[dict[str, Any]]:
        """The journal's lines; what a crash tore off the last is cut away."""
        path = self.folder / _JOURNAL
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
        try:
            return [json.loads(line) for line in content[:whole].splitlines()]
        except ValueError as error:
            raise ValueError(f"{path} is broken: write the output anew without resuming") from error

    def _learn(self, lines: Iterable[dict[str, Any]]) -> None:
        told = {}
        for line in lines:
            if "finished" in line:
                self.finished = _has_size(self.output, line["finished"])
            else:
                told[line.pop("shard")] = line
        for number, line in told.items():
            if _has_size(self.part(number), line.pop("bytes")) or self.finished:
                self.done[number] = line

    def _clear(self) -> None:
        for part in (*self.folder.glob("part-*"), *self.folder.glob("_*.parquet")):
            part.unlink()
        os.truncate(self.folder / _JOURNAL, 0)


def digest(paths: Iterable[Path]) -> list[list[str]]:
    """What files are known by: names and content."""
    known = []
    for path in paths:
        with path.open("rb") as stream:
            known.append([path.name, hashlib.file_digest(stream, "blake2b").hexdigest()[:32]])
    return known


def _locked(path: Path) -> WholeFile:
    stream = WholeFile(path, "ab")
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.close()
            raise ValueError(
                f"another process is writing to {path.parent}: wait for it, or end it"
            ) from error
    return stream


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _sync_folder(folder: Path) -> None:
    """A name is on the disk only with its folder."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
