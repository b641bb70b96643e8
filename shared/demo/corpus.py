"""The corpus that is on every machine: Python's language reference and the docstrings of its library.

A topic is what a person would jump to: a heading of the reference ("The for statement"), a documented
method in it ("object.__iter__", "str.join"), or an object of the library ("functools.lru_cache").
What is documented in several places under one name is one topic. A passage is a piece of one topic.
"""

from __future__ import annotations

import builtins
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from nvrerank.passages import cut

MODULES = """
    argparse bisect collections contextlib copy csv dataclasses datetime enum fnmatch functools getpass glob
    heapq itertools json logging math os.path pathlib pprint queue random re secrets shlex shutil string
    subprocess sys tempfile textwrap threading time timeit urllib.parse warnings
"""
"""Modules of the standard library that every platform has, from 3.11 on."""

CLASSES = """
    int float str list dict set collections.deque datetime.datetime pathlib.Path threading.Thread
"""
"""Classes whose methods are topics too."""

_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")
_HEADING = re.compile(r"(?P<title>\S.*)\n(?P<line>[=*\-~\"^])(?P=line){2,}")
_SIGNATURE = re.compile(r"(?:class (?P<kind>[A-Za-z_][\w.]*)|(?P<name>[A-Za-z_]\w*(?:\.\w+)+))\(.*\)")


@dataclass(frozen=True, slots=True)
class TopicPassage:
    """A piece of a topic; its text opens with the topic's name."""

    id: str
    topic: str
    text: str


def passages() -> list[TopicPassage]:
    """The whole corpus of the running Python, in a fixed order."""
    from pydoc_data.topics import topics

    found: dict[str, list[str]] = {}
    for topic, paragraph in (*reference(topics), *docstrings()):
        known = found.setdefault(topic, [])
        if paragraph not in known:
            known.append(paragraph)
    return [
        TopicPassage(f"{topic}#{number}", topic, f"{topic}\n{piece.text}")
        for topic, paragraphs in found.items()
        for number, piece in enumerate(cut("\n\n".join(paragraphs), least=500), start=1)
    ]


def reference(pages: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The paragraphs of the language reference, each with its topic; some come several times.

    Args:
        pages: The reference by key, as `pydoc_data.topics` has it: plain text with underlined
            headings, and signatures at the margin above indented descriptions.
    """
    for key in sorted(pages):
        heading = topic = key
        for paragraph in _BLANK_LINES.split(pages[key].strip("\n")):
            if title := _HEADING.fullmatch(paragraph):
                heading = topic = re.sub(r"[\"*]", "", title["title"])
                continue
            if not paragraph.startswith(" "):  # back at the margin
                topic = _documented(paragraph) or heading
            yield topic, re.sub("(?m)^   ", "", paragraph) if topic != heading else paragraph


def docstrings() -> Iterator[tuple[str, str]]:
    """The docstrings of the library's public objects, each with its dotted name."""
    for name in MODULES.split():
        module = importlib.import_module(name)
        yield from _docstring(name, module)
        for member in _public(module):
            yield from _docstring(f"{name}.{member}", getattr(module, member))
    for member in _public(builtins):
        yield from _docstring(member, getattr(builtins, member))
    for name in CLASSES.split():
        for member in _public(found := _class(name)):
            yield from _docstring(f"{name}.{member}", getattr(found, member))


def _documented(paragraph: str) -> str | None:
    """What a paragraph of signatures documents; the first, where it has several."""
    matches = [_SIGNATURE.fullmatch(line) for line in paragraph.splitlines()]
    first = matches[0]
    return (first["kind"] or first["name"]) if first and all(matches) else None


def _public(owner: ModuleType | type) -> list[str]:
    """Names of the functions and classes that a module or class offers as its own."""
    names = getattr(owner, "__all__", None) or [name for name in dir(owner) if not name.startswith("_")]
    return [name for name in names if _has_own_docstring(getattr(owner, name))]


def _has_own_docstring(found: object) -> bool:
    if isinstance(found, type):
        return isinstance(found.__doc__, str) and not issubclass(found, BaseException)
    return inspect.isroutine(found)


def _class(name: str) -> type[Any]:
    module, _, attribute = name.rpartition(".")
    found: type[Any] = getattr(importlib.import_module(module or "builtins"), attribute)
    return found


def _docstring(name: str, found: object) -> Iterator[tuple[str, str]]:
    text = found.__doc__ if isinstance(found, type) else inspect.getdoc(found)
    if text and text.strip():
        yield name, inspect.cleandoc(text)
