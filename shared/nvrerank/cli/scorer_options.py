"""Which scorer the options ask for, and how it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nvrerank.scorer import Scorer


@dataclass(frozen=True, slots=True)
class ScorerOptions:
    """What the options say of the scorer; each is None where it was not given."""

    model: str | None = None
    revision: str | None = None
    device: str | None = None
    hosted: str | None = None
    base_url: str | None = None


MakeScorer = Callable[[ScorerOptions], Scorer]
"""A program that embeds the command, or tests it, gives its own as the context's object:
`app(obj=make_scorer)`."""


def scorer_for(options: ScorerOptions) -> Scorer:
    """Hosted if an API is named, else on this machine; each room is imported only where it is used.

    Raises:
        ValueError: Options of both were given.
    """
    if options.hosted is None and options.base_url is None:
        from nvrerank.local import LocalScorer

        return LocalScorer(options.model, revision=options.revision, device=options.device)
    if options.model or options.revision or options.device:
        raise ValueError(
            "--model, --revision and --device are for this machine, --hosted and --base-url for an API"
        )
    from nvrerank.hosted import HostedScorer

    return HostedScorer(options.hosted, base_url=options.base_url)
