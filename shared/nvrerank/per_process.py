"""Forks: a child makes its own of a thing and never touches its parent's; none is made amid native code."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_LONGEST_WAIT = 60  # seconds; then a fork goes on: whoever it waits for may wait for the forking thread

_forks = 0  # how often this process's line was forked since the import; no lock can be held by it


def _count() -> None:
    global _forks  # noqa: PLW0603 (a process has one line)
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count)


def is_forked() -> bool:
    """Whether this process was forked since the import: then it has none of its parent's threads."""
    return _forks > 0


class PerProcess(Generic[T]):
    """Makes one at the first use in each process.

    What a child inherits is kept and left alone: to close it, or to have it collected, would disturb
    the parent's connections.

    Args:
        make: Makes it; may be called twice at once by threads, one of the two is then dropped.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}

    def get(self) -> T:
        """This process's."""
        return self._made.get(_forks) or self._made.setdefault(_forks, self._make())

    def __reduce__(self) -> tuple[type[PerProcess[T]], tuple[Callable[[], T]]]:
        """A pickle has how it is made."""
        return type(self), (self._make,)

    def peek(self) -> T | None:
        """This process's, if it was made."""
        return self._made.get(_forks)


class ForkGate:
    """`with gate:` around work in native code that a fork must not cut through; not to be nested.

    The child has the forking thread alone. A lock that another thread held at that moment stays taken in it
    for good: Python's are made anew by `PerProcess`; those of MKL, oneDNN, a tokenizer or a module that was
    being imported can't be. Without the gate one of 150 children forked beside two scoring threads hung.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begins anew: what a child has of it is its parent's."""
        self._changed = threading.Condition()
        self._inside: set[int] = set()  # threads
        self._forking = 0

    def __enter__(self) -> None:
        with self._changed:
            while self._forking:
                self._changed.wait()
            self._inside.add(threading.get_ident())

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside.discard(threading.get_ident())
            self._changed.notify_all()

    def close(self) -> None:
        """Lets nobody in and waits until all others are out; keeps the lock until `open`."""
        own = {threading.get_ident()}
        self._changed.acquire()
        self._forking += 1
        self._changed.wait_for(lambda: self._inside <= own, _LONGEST_WAIT)

    def open(self) -> None:
        """Lets everybody in again."""
        self._forking -= 1
        self._changed.notify_all()
        self._changed.release()


gate = ForkGate()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=gate.close, after_in_parent=gate.open, after_in_child=gate.reset)
