"""Which scorer the options ask for, and how it is made."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nvrerank.errors import MissingKeyError
from nvrerank.scorer import Scorer
from nvrerank.windows import LongPassages

Quantize = Literal["int8"]
_LOCAL = ("model", "revision", "device", "max_length", "quantize")
_HOSTED = ("hosted", "base_url", "api_key_env", "timeout")


@dataclass(frozen=True, slots=True)
class ScorerOptions:
    """What the options say of the scorer; each is None where it was not given."""

    model: str | None = None
    revision: str | None = None
    device: str | None = None
    hosted: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    long_passages: LongPassages | None = None
    max_length: int | None = None
    quantize: Quantize | None = None
    timeout: float | None = None


MakeScorer = Callable[[ScorerOptions], Scorer]
"""A program that embeds the command, or tests it, gives its own as the context's object:
`app(obj=make_scorer)`."""


def scorer_for(options: ScorerOptions) -> Scorer:
    """Hosted if an API is named, else on this machine; each room is imported only where it is used.

    Raises:
        ValueError: Options of both were given, or of an API without its name.
        MissingKeyError: There is no key in the variable that was named.
    """
    given: dict[str, Any] = {name: value for name, value in asdict(options).items() if value is not None}
    local, api = _named(_LOCAL, given), _named(_HOSTED, given)
    if local and api:
        raise ValueError(f"{local} is for this machine, --hosted and --base-url for an API, and so is {api}")
    if not api:
        from nvrerank.local import LocalScorer

        return LocalScorer(given.pop("model", None), **given)
    if "hosted" not in given and "base_url" not in given:
        raise ValueError(f"{api} is for an API: name it by --hosted or --base-url")
    if "api_key_env" in given:
        given["api_key"] = _key_in(given.pop("api_key_env"))
    from nvrerank.hosted import HostedScorer

    return HostedScorer(given.pop("hosted", None), **given)


def _named(names: Sequence[str], given: Mapping[str, object]) -> str | None:
    """The first option that was given."""
    return next((f"--{name.replace('_', '-')}" for name in names if name in given), None)


def _key_in(variable: str) -> str:
    key = os.environ.get(variable)
    if not key:
        raise MissingKeyError(f"--api-key-env names {variable}, but there is no such environment variable")
    return key
