"""Files that a language model may name: under given folders alone, wherever a link leads, up to a limit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from nvrerank.errors import MissingExtraError

from .inputs import Source, read_sources

MOST_FILES = 1000
MOST_BYTES = 64 * 2**20
_NAMED = 40  # files and folders that a message names


@dataclass(slots=True)
class Reading:
    """What was read in one call.

    Attributes:
        sources: The passages.
        not_read: A sentence for each file or folder that was not read.
        files: How many files the passages are of.
    """

    sources: list[Source] = field(default_factory=list)
    not_read: list[str] = field(default_factory=list)
    files: int = 0


class Roots:
    """Folders whose files may be read, those of their folders too; hidden ones may not.

    Raises:
        ValueError: One is no folder.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = [folder.resolve() for folder in folders]
        for given, folder in zip(folders, self.folders, strict=True):
            if not folder.is_dir():
                raise ValueError(f"--root {given} is no folder")

    def read(self, paths: Sequence[str] = (), *, images: bool, most: int) -> Reading:
        """The passages of the files at paths and in the folders there.

        Args:
            paths: Absolute, or relative to a root; none: all roots.
            images: Whether files that are images are passages.
            most: At most so many passages.

        Raises:
            ValueError: There is more than a limit allows; the message says what to choose from.
        """
        found, seen, left = Reading(), 0, MOST_BYTES
        for file in self._files(paths or self.folders, found.not_read):
            seen += 1
            if seen > MOST_FILES:
                raise ValueError(self._too_much(f"{MOST_FILES} files", paths))
            try:
                size = _size(file, left)
                passages = read_sources([str(file)], images=images)
            except (ValueError, MissingExtraError, OSError) as error:
                found.not_read.append(str(error))
                continue
            left -= size
            if not passages:
                found.not_read.append(f"{file} has no text")
                continue
            found.files += 1
            found.sources += passages
            if len(found.sources) > most:
                raise ValueError(self._too_much(f"{most} passages (--max-passages)", paths))
        return found

    def _files(self, paths: Sequence[str | Path], refused: list[str]) -> Iterator[Path]:
        """The files at paths and in the folders there, each once; `refused` is told of the others."""
        pending, seen = list(reversed(paths)), set[Path]()
        while pending:
            try:
                place = self._resolved(pending.pop())
                if place in seen:
                    continue
                seen.add(place)
                if place.is_dir():
                    pending += reversed(_entries(place))
                else:
                    yield place
            except (ValueError, OSError) as error:
                refused.append(str(error))

    def _resolved(self, path: str | Path) -> Path:
        """Where a path leads; a relative one from the first root that has it.

        Raises:
            ValueError: It leads outside, whether or not there is anything, or to what is hidden; or nothing
                is there.
        """
        inside = [place for root in self.folders if (place := self._inside(root, path))]
        if not inside:
            raise ValueError(f"{path} is hidden, or outside of the folders that may be read")
        place = next((one for one in inside if os.path.lexists(one)), None)
        if place is None:
            raise ValueError(f"{path} does not exist")
        return place

    def _inside(self, root: Path, path: str | Path) -> Path | None:
        try:
            place = (root / path).resolve()
        except (OSError, RuntimeError, ValueError):  # links in a circle, a null character
            return None
        parts = [place.relative_to(one).parts for one in self.folders if place.is_relative_to(one)]
        return place if any(not _hidden(*names) for names in parts) else None

    def _too_much(self, what: str, paths: Sequence[str]) -> str:
        choices: list[str] = []
        for path in paths or self.folders:
            with suppress(ValueError, OSError):  # told as not read, where there is not too much
                place = self._resolved(path)
                choices += map(str, _entries(place) if place.is_dir() else [place])
        return f"there are more than {what}: name some of these in paths: {', '.join(shortened(choices))}"


def shortened(names: Sequence[str]) -> list[str]:
    """The first of them, and how many more there are."""
    more = len(names) - _NAMED
    return [*names[:_NAMED], f"and {more} more"] if more > 0 else list(names)


def _size(file: Path, most: int) -> int:
    if not file.is_file():  # a pipe might never end
        raise ValueError(f"{file} is no regular file")
    size = file.stat().st_size
    if size > most:
        raise ValueError(f"{file} was left out: with it, this call would read more than {MOST_BYTES} bytes")
    return size


def _entries(folder: Path) -> list[Path]:
    return [folder / name for name in sorted(os.listdir(folder)) if not _hidden(name)]  # noqa: PTH208


def _hidden(*names: str) -> bool:
    return any(name.startswith(".") for name in names)
