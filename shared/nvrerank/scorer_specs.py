"""A scorer from a string, or from a mapping as YAML and JSON have it."""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from . import errors
from .errors import MissingKeyError, NVRerankError
from .scorer import Scorer

ScorerSpec = str | Mapping[str, Any] | Scorer

_FORMS = (
    "bundled, local:FOLDER_OR_NAME, local:NAME@REVISION, hosted:MODEL, hosted:MODEL@URL, hosted:URL, "
    "a URL such as http://nim:8000/v1"
)
_HOSTED = re.compile(r"(?P<model>[^@\s]*?)@?(?P<url>https?://\S+)?")
_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")  # no key of NVIDIA's: they hold a -
_ELSEWHERE = {
    "api_key": "a configuration holds no key: name the environment variable that does in api_key_env",
    "headers": "headers may be secret: make the HostedScorer with them, and pass that",
    "transport": "make the HostedScorer with it, and pass that",
}


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of scorer that a mapping can name.

    Attributes:
        room: The package it is in.
        kind: Its class.
        subject: The argument that a plain value stands for.
        scorers: Arguments that are scorers themselves.
    """

    room: str
    kind: str
    subject: str
    scorers: tuple[str, ...] = ()


_KINDS = {
    "bundled": _Kind("local", "LocalScorer", ""),
    "local": _Kind("local", "LocalScorer", "model"),
    "hosted": _Kind("hosted", "HostedScorer", "model"),
    "windowed": _Kind("compose", "Windowed", "scorer", ("scorer",)),
    "cached": _Kind("compose", "Cached", "scorer", ("scorer",)),
    "limited": _Kind("compose", "Limited", "scorer", ("scorer",)),
    "cascade": _Kind("compose", "Cascade", "", ("cheap", "strong")),
    "fallback": _Kind("compose", "Fallback", "scorers"),
}


def scorer_of(
    spec: ScorerSpec,
    *,
    device: str | None = None,
    max_length: int | None = None,
    instruction: str | None = None,
) -> Scorer:
    """Makes a scorer; no connection is opened and no weights are loaded.

    A string is `bundled`, `local:FOLDER_OR_NAME[@REVISION]`, `hosted:MODEL[@URL]`, `hosted:URL` or a URL by
    itself; one that begins with { is JSON. A mapping has one key, the kind, and its arguments:

        {"fallback": [
            {"cached": {"scorer": {"limited": {"scorer": "hosted:nvidia/llama-nemotron-rerank-1b-v2",
                                               "requests_per_minute": 40}},
                        "path": "scores.db"}},
            "bundled"]}

    The kinds are bundled, local, hosted, windowed, cached, limited, cascade and fallback; their arguments are
    those of `LocalScorer`, `HostedScorer` and so on. A key stands nowhere in it: `{"hosted": {"base_url":
    "https://...", "api_key_env": "MY_KEY"}}` names the environment variable that holds it.

    Args:
        spec: What it is called; a scorer is returned as it is.
        device: For models on this machine that do not say it themselves.
        max_length: Likewise, in tokens.
        instruction: What it is told of its task (`Scorer.with_instruction`); None: what it says itself.

    Raises:
        InvalidArgumentError: It has no place for an instruction.
        TypeError: It is neither a string nor a mapping nor a scorer, or an argument is of the wrong type.
        ValueError: There is no such scorer or argument; the message lists what there is.
        MissingKeyError: NVIDIA's host wants a key and there is none, or `api_key_env` names no variable.
        ModelLoadError: A folder does not exist.
    """
    local = {
        name: value for name, value in (("device", device), ("max_length", max_length)) if value is not None
    }
    try:
        made = _made(spec, local)
    except TypeError as error:
        if isinstance(spec, str):  # JSON of somebody's: the argument itself is of the right type
            raise ValueError(str(error)) from error  # noqa: TRY004 (it is of the right type)
        raise
    return made if instruction is None else made.with_instruction(instruction)


def _made(spec: object, local: Mapping[str, Any]) -> Scorer:
    """The scorer of a string, a mapping, or itself; `local` are options of models on this machine."""
    if isinstance(spec, Scorer):
        return spec
    if isinstance(spec, str):
        return _of_kind(*_read(spec), local)
    if isinstance(spec, Mapping):
        return _of_kind(*_single(spec), local)
    raise TypeError(f"a scorer is a string, a mapping or a Scorer, not {type(spec).__name__}")


def _of_kind(name: str, options: dict[str, Any], local: Mapping[str, Any]) -> Scorer:
    kind = _KINDS[name]
    make = getattr(import_module(f".{kind.room}", __package__), kind.kind)
    _check_names(name, options, make)
    for argument in kind.scorers:
        if argument not in options:
            raise ValueError(f"{name} needs {argument}: a scorer")
        options[argument] = _made(options[argument], local)
    if kind.room == "local":
        options = {**local, **options}
    if "api_key_env" in options:
        options["api_key"] = _KeyFrom(options.pop("api_key_env"))
    scorers = [_made(one, local) for one in _listed(options.pop("scorers", ()))]
    if "on" in options:
        options["on"] = [_error_named(one) for one in _listed(options["on"])]
    made: Scorer = make(*scorers, **options)
    return made


def _read(text: str) -> tuple[str, dict[str, Any]]:
    """Kind and arguments of a string."""
    if text.lstrip().startswith("{"):
        try:
            return _single(json.loads(text))
        except json.JSONDecodeError as error:
            raise ValueError(f"a scorer that begins with {{ is JSON, and this is not: {error}") from None
    kind, _, value = text.partition(":")
    if text in ("bundled", "embedded"):
        return "bundled", {}
    if kind in ("http", "https"):
        return "hosted", {"base_url": text}
    if kind == "local" and value.strip():
        name, at, revision = value.rpartition("@")
        if at and name and "/" not in revision:
            return "local", {"model": name, "revision": revision}
        return "local", {"model": value}
    if kind == "hosted" and (match := _HOSTED.fullmatch(value)) and any(match.groups()):
        return "hosted", {"model": match["model"] or None, "base_url": match["url"]}
    hint = f"; for this machine write local:{text}, for an API hosted:{text}" if _NAME.fullmatch(text) else ""
    raise ValueError(
        f"{text!r:.100}: a scorer is {_FORMS}, or a mapping of one of {', '.join(_KINDS)} to its "
        f"arguments{hint}"
    )


def _single(spec: Mapping[Any, Any]) -> tuple[str, dict[str, Any]]:
    """Kind and arguments of a mapping; no message repeats a value, which may be secret."""
    if len(spec) != 1 or not isinstance(name := next(iter(spec)), str) or name not in _KINDS:
        names = ", ".join(map(str, spec)) or "none"
        raise ValueError(
            f"a scorer's mapping has one key, of {', '.join(_KINDS)}, with its arguments below it; "
            f"this one's: {names:.200}"
        )
    value, subject = spec[name], _KINDS[name].subject
    if value is None:
        return name, {}
    if name in ("local", "hosted") and isinstance(value, str):
        return _read(f"{name}:{value}")
    if isinstance(value, Mapping) and not (subject in ("scorer", "scorers") and _is_scorer(value)):
        return name, dict(value)
    if not subject:
        raise ValueError(f"{name} takes its arguments by name, in a mapping")
    return name, {subject: value}


def _is_scorer(value: Mapping[Any, Any]) -> bool:
    return len(value) == 1 and next(iter(value)) in _KINDS


def _check_names(name: str, options: Mapping[str, Any], make: Any) -> None:
    known = [one for one in inspect.signature(make).parameters if one not in _ELSEWHERE]
    if name == "bundled":
        known = [one for one in known if one not in ("model", "revision")]
    if name == "hosted":
        known.append("api_key_env")
    for option in options:
        if name == "hosted" and option in _ELSEWHERE:
            raise ValueError(f"{option}: {_ELSEWHERE[option]}")
        if option not in known:
            raise ValueError(f"{name} has no argument {option!r:.50}: it has {', '.join(known)}")


class _KeyFrom:
    """The key in an environment variable, which no frame and no repr shows."""

    def __init__(self, variable: object) -> None:
        if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
            raise ValueError("api_key_env must be the name of an environment variable, not a key")
        if not os.environ.get(variable):
            raise MissingKeyError(f"api_key_env names {variable}, which is not set: set it to the key")
        self._variable = variable

    def get_secret_value(self) -> str:
        """As pydantic's SecretStr."""
        return os.environ[self._variable]


def _listed(value: object) -> list[Any]:
    if isinstance(value, str | Mapping | Scorer) or not isinstance(value, Iterable):
        return [value]
    return list(value)


def _error_named(name: object) -> type[NVRerankError]:
    if isinstance(name, type):
        return name
    kinds = (kind for kind in vars(errors).values() if isinstance(kind, type))
    known = {kind.__name__: kind for kind in kinds if issubclass(kind, NVRerankError)}
    if name not in known:
        raise ValueError(f"on: there is no error {name!r:.50}: there are {', '.join(known)}")
    return known[str(name)]
