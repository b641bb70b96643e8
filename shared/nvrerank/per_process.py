"""One of a thing for each process: a forked child makes its own and never touches its parent's."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

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

    def peek(self) -> T | None:
        """This process's, if it was made."""
        return self._made.get(_forks)
