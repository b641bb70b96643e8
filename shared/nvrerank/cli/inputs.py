"""What `nvrerank rank` reads: files, folders, patterns and standard input become passages."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob, has_magic
from io import BytesIO
from pathlib import Path
from typing import Any

from nvrerank.errors import MissingExtraError, RequestRejectedError
from nvrerank.images import MOST_BYTES, Passage, kind_of
from nvrerank.passages import cut

from .html_text import declared_encoding, looks_like_html, text_of_html
from .output import say

STDIN = "-"
_HTML = (".html", ".htm", ".xhtml")
_JSON_LINES = (".jsonl", ".ndjson")
_PDF = re.compile(rb"\s*%PDF-")
_FOREIGN = (  # what a file begins with that is no text, though it may pass for one
    (b"PK\x03\x04", "an Office, EPUB or ZIP file"),
    (b"PK\x05\x06", "an empty ZIP file"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office file of the old format"),
    (b"{\\rtf", "an RTF file"),
    (b"%!PS", "a PostScript file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"7z\xbc\xaf", "a 7-Zip file"),
    (b"Rar!", "a RAR file"),
)
_HEAD = 4096  # bytes by which a file is known
_GARBLED = 0.2  # the share of characters that can't be read from which on it is no text in UTF-8
_NAMED = 3  # skipped files that are named


@dataclass(frozen=True, slots=True)
class Source:
    """A passage and where it is from.

    Attributes:
        file: The file as it was named, or as it was found in a folder.
        text: The passage; of an image a `Passage`.
        line: The line it starts on, from 1; None: the file has pages, or is an image.
        page: The page it starts on, from 1; None: the file has lines.
        score: What retrieval scored it; None: not known.
    """

    file: str
    text: str
    line: int | None = None
    page: int | None = None
    score: float | None = None

    @property
    def label(self) -> str:
        """Where it is, for a person."""
        if self.page is not None:
            return f"{self.file}, page {self.page}"
        return self.file if self.line is None else f"{self.file}:{self.line}"


def read_sources(names: Sequence[str], *, images: bool = False) -> list[Source]:
    """The passages of files, of what is in folders and matches patterns, and of standard input (-).

    A file that was named must be readable; of those found in a folder or by a pattern the others are skipped,
    and that is said.

    Args:
        names: What was named.
        images: Whether files that are images are passages, too.

    Raises:
        ValueError: A file can't be read or is no text, or a pattern matches nothing.
        MissingExtraError: A PDF file was named, and what reads such is not installed.
        OSError: Standard input can't be read.
    """
    sources: dict[str, list[Source]] = {}
    skipped: list[str] = []
    for name in dict.fromkeys(names):
        found = None if name == STDIN else _found(name)
        if found is None:
            sources.setdefault(name, _passages(name, images=images))
            continue
        for file in found:
            if file not in sources:
                try:
                    sources[file] = _passages(file, images=images)
                except (ValueError, MissingExtraError) as error:
                    skipped.append(str(error))
    if skipped:
        count, more = len(skipped), len(skipped) - _NAMED
        told = "; ".join(skipped[:_NAMED]) + (f"; and {more} more" if more > 0 else "")
        say(f"skipped {count} {'file' if count == 1 else 'files'}: {told}")
    return [source for of_file in sources.values() for source in of_file]


@contextmanager
def errors_by_place(sources: Sequence[Source]) -> Iterator[None]:
    """Within it an error about a passage names its file and line in place of an index."""
    try:
        yield
    except RequestRejectedError as error:
        if error.index is None:
            raise
        label, error.index = sources[error.index].label, None
        error.args = (f"{label}: {error}",)
        raise


def _found(name: str) -> list[str] | None:
    """The files of a folder, or that match a pattern, sorted; None: it names a file."""
    if Path(name).is_dir():
        return list(_in_folder(name))
    if Path(name).exists() or not has_magic(name):
        return None
    found = sorted(file for file in glob(name, recursive=True) if Path(file).is_file())  # noqa: PTH207 # absolute too
    if not found:
        raise ValueError(f"no file matches {name}")
    return found


def _in_folder(folder: str) -> Iterator[str]:
    """Its files and those of the folders in it, without hidden ones."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for file in sorted(files):
            if not file.startswith(".") and Path(place, file).is_file():  # no pipe, which might never end
                yield str(Path(place, file))


def _passages(file: str, *, images: bool) -> list[Source]:
    data = _read(file, images=images)
    if images and kind_of(data):
        try:
            return [Source(file, Passage(image=data))]
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
    if _PDF.match(data[:_HEAD]):
        return [
            Source(file, passage.text, page=number)
            for number, text in enumerate(_pdf_pages(file, data), start=1)
            for passage in cut(text)
        ]
    suffix = Path(file).suffix.lower()
    if suffix in _HTML or looks_like_html(data):
        text, lines = text_of_html(_decoded(file, data, declared_encoding(data)))
        return [Source(file, passage.text, lines[passage.line - 1]) for passage in cut(text)]
    text = _decoded(file, data)
    if suffix in _JSON_LINES:
        return list(_json_lines(file, text))
    return [Source(file, passage.text, passage.line) for passage in cut(text)]


def _read(file: str, *, images: bool) -> bytes:
    if file != STDIN:
        try:
            with Path(file).open("rb") as stream:
                head = stream.read(_HEAD)
                if images and kind_of(head):
                    return head + stream.read(MOST_BYTES)
                if not _PDF.match(head):
                    _check_text(file, head)  # before the rest of it, which may be huge
                return head + stream.read()
        except OSError as error:
            raise ValueError(f"{file} can't be read: {error.strerror}") from error
    if sys.stdin is None:
        raise OSError("standard input is closed: pipe a text into it, or name a file")
    return sys.stdin.buffer.read()


def _check_text(file: str, data: bytes) -> None:
    for beginning, kind in _FOREIGN:
        if data.startswith(beginning):
            raise ValueError(f"{file} is {kind}, not text: save it as text, Markdown, HTML or PDF first")
    if b"\0" in data:
        raise ValueError(f"{file} is not a text file in UTF-8")


def _decoded(file: str, data: bytes, encoding: str = "utf-8-sig") -> str:
    """A file's text; bytes that are not of its encoding are replaced, and that is said."""
    _check_text(file, data)
    try:
        text = data.decode(encoding, "replace")
    except LookupError as error:
        raise ValueError(f"{file} names an encoding that is none: {encoding}") from error
    lost = 0 if "\ufffd".encode() in data else text.count("\ufffd")
    if lost > _GARBLED * len(text):
        raise ValueError(f"{file} is not a text file in UTF-8: convert it, with iconv for instance")
    if lost:
        say(f"{file} is not all UTF-8: \ufffd stands for what could not be read")
    return text


def _pdf_pages(file: str, data: bytes) -> list[str]:
    try:
        from pypdf import PdfReader
    except ImportError as error:
        raise MissingExtraError(
            f"{file} is a PDF file: pip install 'nvrerank[pdf]' lets it be read, or save it as text"
        ) from error
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # each oddity of a file is a line else
    try:
        pages = [page.extract_text() for page in PdfReader(BytesIO(data)).pages]
    except Exception as error:  # broken files raise whatever they run into
        raise ValueError(f"{file} can't be read as PDF: {type(error).__name__}: {error}") from error
    if not any(page.strip() for page in pages):
        say(f"{file} has no text: its pages are pictures, perhaps, which text recognition would read")
    return pages


def _json_lines(file: str, text: str) -> Iterator[Source]:
    """A passage a line: a string, or an object with a "text" and perhaps what retrieval gave as "score"."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}:{number} is no JSON: {error}") from error
        match value if isinstance(value, dict) else {"text": value}:
            case {"text": str(passage), "score": int() | float() as score} if _is_finite(score):
                yield Source(file, passage, number, score=score)
            case {"text": str(passage), **rest} if rest.get("score") is None:
                yield Source(file, passage, number)
            case _:
                raise ValueError(f'{file}:{number} should be a text or {{"text": "...", "score": 0.5}}')


def _is_finite(score: float) -> bool:
    return not isinstance(score, bool) and abs(score) < math.inf
