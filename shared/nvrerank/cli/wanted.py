"""Which scorer the options ask for, and how it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nvrerank.scorer import Scorer


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the options say of the scorer; each is None where it was not given."""

    model: str | None = None
    revision: str | None = None
    device: str | None = None
    hosted: str | None = None
    base_url: str | None = None


MakeScorer = Callable[[Wanted], Scorer]
"""A program that embeds the command, or tests it, gives its own as the context's object:
`app(obj=make_scorer)`."""


def scorer_for(wanted: Wanted) -> Scorer:
    """Hosted if an API is named, else on this machine; each room is imported only where it is used.

    Raises:
        ValueError: Options of both were given.
    """
    if wanted.hosted is None and wanted.base_url is None:
        from nvrerank.local import LocalScorer

        return LocalScorer(wanted.model, revision=wanted.revision, device=wanted.device)
    if wanted.model or wanted.revision or wanted.device:
        raise ValueError(
            "--model, --revision and --device are for this machine, --hosted and --base-url for an API"
        )
    from nvrerank.hosted import HostedScorer

    return HostedScorer(wanted.hosted, base_url=wanted.base_url)
