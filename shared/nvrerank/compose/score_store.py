"""Bytes by key in SQLite: bounded, checked by a digest, and at worst empty."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_APPLICATION = 0x6E767231  # "nvr1": the program and its format, where SQLite's files keep such a number
_AT_ONCE = 500  # variables of a statement; old versions take 999
_PATIENCE = 5.0  # seconds that another process's writing is waited for
_DIGEST = 8
_IN_MEMORY = ":memory:"


class ScoreStore:
    """A table of bytes by key, in a file that any number of threads and processes may share, or in memory.

    Nothing is raised: what can't be read is not there, what can't be written is not kept, and `problem` says
    why. Each write is one transaction of a write-ahead log: a process that is killed loses what it was
    writing and nothing else. A file of another program's is left as it is.

    Args:
        path: The file; None: in memory.
        most: How many entries there are at most; the oldest go first.
        problem: Told what went wrong.
    """

    def __init__(self, path: str | None, most: int, problem: Callable[[str], None]) -> None:
        self._path = path or _IN_MEMORY
        self._most = most
        self._problem = problem
        self._connection: sqlite3.Connection | None = None
        self.lock = threading.Lock()
        with _listing:
            _stores.add(self)

    def __del__(self) -> None:
        self.drop_connection()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is there under these keys."""
        return self._tried("read", lambda db: self._get(db, keys), {})

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Keeps values, and drops the oldest beyond the limit."""
        rows = [(key, _digest(key, value) + value) for key, value in values.items()]
        self._tried("written", lambda db: self._put(db, rows), None)

    def close(self) -> None:
        """Closes the file; it is opened again when it is next needed."""
        with self.lock:
            self.drop_connection()

    def drop_connection(self) -> None:
        """As `close`, for whoever has the lock."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def in_file(self) -> bool:
        """Whether there is a file."""
        return self._path != _IN_MEMORY

    def _get(self, db: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = db.execute(f"SELECT key, value FROM scores WHERE key IN ({marks})", some)  # noqa: S608
            for key, value in rows:
                if value[:_DIGEST] != _digest(key, value[_DIGEST:]):
                    raise sqlite3.DatabaseError("an entry is not as it was written")
                found[key] = value[_DIGEST:]
        return found

    def _put(self, db: sqlite3.Connection, rows: Iterable[tuple[bytes, bytes]]) -> None:
        with db:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT OR REPLACE INTO scores (key, value) VALUES (?, ?)", rows)
            db.execute("DELETE FROM scores WHERE place <= (SELECT max(place) FROM scores) - ?", (self._most,))

    def _tried(self, done: str, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        with self.lock:
            try:
                if self._connection is None:
                    self._connection = _opened(self._path)
                return work(self._connection)
            except (sqlite3.Error, OSError, TypeError) as error:  # a type that was never written there
                if self.in_file:
                    with suppress(sqlite3.Error):
                        self.drop_connection()
                self._problem(f"can't be {done}: {error}")
        return otherwise


def _opened(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        [found] = db.execute("PRAGMA application_id").fetchone()
        if found != _APPLICATION:
            _prepare(db)
        db.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    """Makes a new file ours.

    Raises:
        sqlite3.DatabaseError: There is something in it already.
    """
    with suppress(sqlite3.OperationalError):  # another process is doing it, or it can't be had here
        if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            db.execute("PRAGMA journal_mode = WAL")
    with db:
        db.execute("BEGIN IMMEDIATE")
        [found] = db.execute("PRAGMA application_id").fetchone()
        if found == _APPLICATION:
            return
        if found or db.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise sqlite3.DatabaseError("it is a file of another program, or of another version of this one")
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(
            "CREATE TABLE scores (place INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL)"
        )


def _digest(key: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(value, key=key, digest_size=_DIGEST).digest()


_listing = threading.Lock()
_stores: weakref.WeakSet[ScoreStore] = weakref.WeakSet()
_held: list[ScoreStore] = []


def _before_fork() -> None:
    """Closes files, since SQLite's may not be carried across a fork, and lets nobody open one meanwhile."""
    _listing.acquire()
    for store in list(_stores):
        store.lock.acquire()
        _held.append(store)
        if store.in_file:
            store.drop_connection()


def _after_fork() -> None:
    while _held:
        _held.pop().lock.release()
    _listing.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
