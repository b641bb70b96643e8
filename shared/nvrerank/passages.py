"""A text becomes passages of a size that a reranker reads well: paragraphs, cut or merged. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .texts import is_blank

LEAST = 80
MOST = 800  # characters, about 130 English words

_LINE_END = re.compile("\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A piece of a text, without blank lines around it and never blank, and the line it starts on, from 1."""

    text: str
    line: int


def cut(text: str, *, least: int = LEAST, most: int = MOST) -> list[Paragraph]:
    """Cuts a text at its blank lines.

    A paragraph of fewer than `least` characters, such as a heading, takes in those that follow it. One
    of more than `most` is cut between lines, a line that is too long between words, and a word that is
    too long where it must be. Lines end as on Unix, Windows or the old Mac; a blank text has no passages.

    Raises:
        ValueError: most is less than 1.
    """
    if most < 1:
        raise ValueError(f"a passage holds at least 1 character, not {most}")
    fitting = (part for paragraph in _paragraphs(text) for part in _fitting(paragraph, most))
    return list(_merged(fitting, "\n\n", least, most))


def _paragraphs(text: str) -> Iterator[list[Paragraph]]:
    """Runs of lines that are not blank, each line with its number."""
    lines: list[Paragraph] = []
    for number, line in enumerate(_LINE_END.split(text), start=1):
        if not is_blank(line):
            lines.append(Paragraph(line.rstrip(), number))
        elif lines:
            yield lines
            lines = []
    if lines:
        yield lines


def _fitting(paragraph: Iterable[Paragraph], most: int) -> Iterator[Paragraph]:
    """A paragraph as one passage if it fits, else as several."""
    pieces = ((piece, line.line) for line in paragraph for piece in _pieces(line.text, most))
    return _merged((Paragraph(*one) for one in pieces if not is_blank(one[0])), "\n", most, most)


def _pieces(line: str, most: int) -> Iterator[str]:
    """A line in pieces, cut at a space where there is one."""
    start = 0
    while len(line) - start > most:
        space = line.rfind(" ", start + 1, start + most + 1)
        end = start + most if space < 0 else space
        yield line[start:end].strip()
        start = end
    yield line[start:].strip() if start else line


def _merged(parts: Iterable[Paragraph], between: str, least: int, most: int) -> Iterator[Paragraph]:
    """Neighbours joined until they have `least` characters, as far as they fit."""
    gathered: list[Paragraph] = []
    length = 0
    for part in parts:
        if gathered and (length >= least or length + len(between) + len(part.text) > most):
            yield _joined(gathered, between)
            gathered, length = [], 0
        length += len(part.text) + (len(between) if gathered else 0)
        gathered.append(part)
    if gathered:
        yield _joined(gathered, between)


def _joined(parts: list[Paragraph], between: str) -> Paragraph:
    return Paragraph(between.join(part.text for part in parts), parts[0].line)
