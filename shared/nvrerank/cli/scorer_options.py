"""Which scorer the options ask for, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nvrerank.scorer import Scorer
from nvrerank.scorer_specs import scorer_of
from nvrerank.windows import LongPassages

SCORER_HELP = (
    "bundled, local:FOLDER_OR_NAME[@REVISION], hosted:MODEL[@URL], a URL, or JSON as docs/composing.md has it"
)

Quantize = Literal["int8"]
_LOCAL = ("model", "revision", "device", "max_length", "quantize")
_HOSTED = ("hosted", "base_url", "api_key_env", "timeout")
_OF_ANY_SPEC = ("scorer", "device", "max_length")


@dataclass(frozen=True, slots=True)
class ScorerOptions:
    """What the options say of the scorer; each is None where it was not given."""

    model: str | None = None
    revision: str | None = None
    device: str | None = None
    hosted: str | None = None
    base_url: str | None = None
    scorer: str | None = None
    api_key_env: str | None = None
    long_passages: LongPassages | None = None
    max_length: int | None = None
    quantize: Quantize | None = None
    timeout: float | None = None


MakeScorer = Callable[[ScorerOptions], Scorer]
"""A program that embeds the command, or tests it, gives its own as the context's object:
`app(obj=make_scorer)`."""


def scorer_for(options: ScorerOptions) -> Scorer:
    """What --scorer says, else hosted if an API is named, else on this machine.

    Raises:
        ValueError: Options of several were given, or of an API without its name.
        MissingKeyError: There is no key in the variable that was named.
    """
    given: dict[str, Any] = {name: value for name, value in asdict(options).items() if value is not None}
    if "scorer" in given:
        other = _named([name for name in given if name not in _OF_ANY_SPEC], given)
        if other:
            raise ValueError(f"--scorer says which scorer it is and how it is made: leave {other} out")
        return scorer_of(given.pop("scorer"), **given)
    local, api = _named(_LOCAL, given), _named(_HOSTED, given)
    if local and api:
        raise ValueError(f"{local} is for this machine, --hosted and --base-url for an API, and so is {api}")
    if not api:
        return scorer_of({"local": given})
    if "hosted" not in given and "base_url" not in given:
        raise ValueError(f"{api} is for an API: name it by --hosted or --base-url")
    return scorer_of({"hosted": {"model": given.pop("hosted", None), **given}})


def _named(names: Sequence[str], given: Mapping[str, object]) -> str | None:
    """The first option that was given."""
    return next((f"--{name.replace('_', '-')}" for name in names if name in given), None)
