"""What install lines bring; to the pages that have them, whatever else is installed here is not there."""

from __future__ import annotations

import builtins
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = ("nvrerank", "langchain_nvrerank", "llamaindex_nvrerank")
_NOTICED = "opentelemetry.trace"  # our packages use it wherever it is loaded, which here it is by others
_distributions = cache(metadata.packages_distributions)


class Installed:
    """The distributions that install lines have brought; at first those of `pip install nvrerank`."""

    def __init__(self) -> None:
        self._names = brought_by(["nvrerank"])
        self.hidden: dict[str, ModuleType] = {}

    def add(self, arguments: Iterable[str]) -> None:
        """Takes the arguments of one `pip install`."""
        words = [one for one in arguments if not one.startswith("-")]
        self._names |= brought_by("nvrerank" + one[1:] if one.startswith(".") else one for one in words)
        if self.has(_NOTICED):
            sys.modules.update(self.hidden)

    def has(self, module: str) -> bool:
        """Whether a module could be imported."""
        top = module.partition(".")[0]
        if top in OURS or top in sys.stdlib_module_names:
            return True
        return any(canonicalize_name(one) in self._names for one in _distributions().get(top, ()))


def brought_by(requirements: Iterable[str]) -> set[str]:
    """The distributions of some requirements and of all that these require, by their canonical names."""
    seen: set[tuple[str, frozenset[str]]] = set()
    pending = [Requirement(one) for one in requirements]
    while pending:
        one = pending.pop()
        name, extras = canonicalize_name(one.name), frozenset(one.extras)
        if (name, extras) not in seen:
            seen.add((name, extras))
            pending += _required(name, extras)
    return {name for name, _ in seen}


def _required(name: str, extras: frozenset[str]) -> list[Requirement]:
    if name == "nvrerank":  # what is installed here may be older than pyproject.toml
        of_extras = [one for extra in extras for one in PROJECT["optional-dependencies"][extra]]
        return [Requirement(one) for one in [*PROJECT["dependencies"], *of_extras]]
    try:
        required = [Requirement(one) for one in metadata.requires(name) or ()]
    except metadata.PackageNotFoundError:
        return []
    return [
        one
        for one in required
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


@contextmanager
def only(installed: Installed, page: ModuleType) -> Iterator[None]:
    """Within it the page and our packages import what is installed and nothing else; ours are loaded anew."""
    kept = _taken_out()
    installed.hidden = {_NOTICED: sys.modules.pop(_NOTICED)} if _NOTICED in sys.modules else {}
    imports = builtins.__import__
    builtins.__import__ = _guarded(imports, installed, (*OURS, page.__name__))
    try:
        yield
    finally:
        builtins.__import__ = imports
        _taken_out()
        sys.modules.update(kept | installed.hidden)


def _taken_out() -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in OURS}


def _guarded(
    imports: Callable[..., ModuleType], installed: Installed, importers: Sequence[str]
) -> Callable[..., ModuleType]:
    def guarded(
        name: str,
        globals: dict[str, Any] | None = None,  # noqa: A002
        locals: dict[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        importer = (globals or {}).get("__name__") or ""
        if level == 0 and importer.partition(".")[0] in importers and not installed.has(name):
            top = name.partition(".")[0]
            raise ModuleNotFoundError(f"No module named {top!r}: no install line above brings it", name=top)
        return imports(name, globals, locals, fromlist, level)

    return guarded
