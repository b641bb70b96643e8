"""Takes one core until the process that started it is gone: the contended mode's other work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def spinning(*, wanted: bool) -> Iterator[int | None]:
    """A spinning process for as long as the block runs; yields its number, or None if none is wanted."""
    if not wanted:
        yield None
        return
    process = subprocess.Popen([sys.executable, __file__, str(os.getpid())])  # noqa: S603 # this very file
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def spin(parent: int) -> None:
    """Counts for as long as the parent lives."""
    while os.getppid() == parent:
        for _number in range(1_000_000):
            pass


if __name__ == "__main__":
    spin(int(sys.argv[1]))
