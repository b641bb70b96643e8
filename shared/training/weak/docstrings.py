"""Docstrings of installed packages: a first line asks for the rest, a parameter or name for its function."""

from __future__ import annotations

import ast
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from training.weak.rows import Entry

SKIPPED = {"nvrerank", "langchain_nvrerank", "llamaindex_nvrerank", "_pytest", "pip", "setuptools"}
MOST = 1500  # of a package
SHORTEST = 250  # characters of a passage
WORDS = range(5, 41)  # of a first line that says enough

_PARAMETER = re.compile(r"\n {0,8}\w+\s*(?:\(.*?\))?\s*:[^\n]*\n {4,16}([A-Z][^\n]{40,200})")
_JOINTS = re.compile(r"_|(?<=[a-z])(?=[A-Z])")


def entries(site: Path, chance: random.Random) -> dict[str, dict[str, Entry]]:
    """By where it is defined, of the packages in a folder; what repeats another's docstring is left out."""
    found, seen, made = dict[str, dict[str, Entry]](), set[str](), Counter[str]()
    files = [
        file for file in sorted(site.rglob("*.py")) if "test" not in file.as_posix().removeprefix(str(site))
    ]
    for file in chance.sample(files, len(files)):
        package = file.relative_to(site).parts[0].removesuffix(".py")
        if package in SKIPPED:
            continue
        for name, summary, rest in documented(file):
            if made[package] < MOST and not seen & {summary, rest[:80]}:
                entry = asked(name, summary, rest, chance)
                if entry is not None:
                    made[package] += 1
                    seen |= {summary, rest[:80]}
                    found[f"{file.relative_to(site)}:{name}"] = {"en": entry}
    return found


def documented(file: Path) -> Iterator[tuple[str, str, str]]:
    """Names, first lines and the rest of a module's public definitions that are documented at length."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError):  # of another Python, or not in UTF-8
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[0] != "_":
            summary, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
            summary = " ".join(summary.split())
            if len(rest) >= SHORTEST and len(summary.split()) in WORDS:
                yield node.name, summary, rest.strip()


def asked(name: str, summary: str, rest: str, chance: random.Random) -> Entry | None:
    """Mostly the first line asks, else a parameter's description or the name; None: it has no such."""
    kind, whole = chance.random(), f"{summary}\n\n{rest}"
    if kind < 0.65:  # noqa: PLR2004
        return Entry(summary.rstrip("."), rest, name)
    words = _JOINTS.sub(" ", name)
    if kind < 0.85:  # noqa: PLR2004
        parameters = _PARAMETER.findall(rest)
        described = chance.choice(parameters) if parameters else None
        return Entry(described, whole.replace(described, ""), name) if described else None
    return Entry(words, whole) if len(words.split()) > 2 else None  # noqa: PLR2004
