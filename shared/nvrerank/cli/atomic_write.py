"""A file that is there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def checked_target(file: str) -> Path:
    """Where a file may be written; asked before the work, so that none is lost.

    Raises:
        ValueError: It is a folder or no regular file, or its folder does not exist.
    """
    target = Path(file).resolve()
    if target.is_dir():
        raise ValueError(f"{file} is a folder: name a file in it, such as {Path(file) / 'ranking.html'}")
    if target.exists() and not target.is_file():
        raise ValueError(f"{file} is not a regular file")
    if not target.parent.is_dir():
        raise ValueError(f"{file} can't be written: there is no folder {target.parent}")
    return target


def write_atomically(target: Path, text: str) -> None:
    """Writes beside the target first, then takes its place.

    Raises:
        ValueError: It can't be written; what was there before still is.
    """
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        beside.replace(target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ValueError(f"{target} can't be written: {error.strerror}") from error
