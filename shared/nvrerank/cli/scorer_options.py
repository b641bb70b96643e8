"""Which scorer the options ask for, and how it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nvrerank.scorer import Scorer
from nvrerank.scorer_specs import scorer_of

SCORER_HELP = (
    "bundled, local:FOLDER_OR_NAME[@REVISION], hosted:MODEL[@URL], a URL, or JSON as docs/composing.md has it"
)


@dataclass(frozen=True, slots=True)
class ScorerOptions:
    """What the options say of the scorer; each is None where it was not given."""

    model: str | None = None
    revision: str | None = None
    device: str | None = None
    hosted: str | None = None
    base_url: str | None = None
    scorer: str | None = None


MakeScorer = Callable[[ScorerOptions], Scorer]
"""A program that embeds the command, or tests it, gives its own as the context's object:
`app(obj=make_scorer)`."""


def scorer_for(options: ScorerOptions) -> Scorer:
    """What --scorer says, else hosted if an API is named, else on this machine.

    Raises:
        ValueError: Options of both were given.
    """
    local, api = options.model or options.revision, options.hosted or options.base_url
    if options.scorer is not None:
        if local or api:
            raise ValueError(
                "--scorer says which scorer it is: leave --model, --revision, --hosted and --base-url out"
            )
        return scorer_of(options.scorer, device=options.device)
    if options.hosted is None and options.base_url is None:
        return scorer_of(
            {"local": {"model": options.model, "revision": options.revision, "device": options.device}}
        )
    if local or options.device:
        raise ValueError(
            "--model, --revision and --device are for this machine, --hosted and --base-url for an API"
        )
    return scorer_of({"hosted": {"model": options.hosted, "base_url": options.base_url}})
