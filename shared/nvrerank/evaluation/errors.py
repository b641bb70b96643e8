"""What is wrong with the data that was to be evaluated."""

from __future__ import annotations

from pathlib import Path


class DataError(ValueError):
    """A data set or a run file can't be used as it is; the message names file and line."""


def broken(path: Path, number: int, what: str) -> DataError:
    """The error for a line of a file.

    Args:
        path: The file.
        number: Its line, from 1.
        what: What is wrong with it.
    """
    return DataError(f"{path}:{number}: {what}")
