"""Scorers by label, and what their kept scores are known by."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from nvrerank.compose.composed import Composed
from nvrerank.scorer import Scorer, settled_identity
from nvrerank.scorer_specs import ScorerSpec, scorer_of

Scorers = ScorerSpec | Iterable[ScorerSpec]


@dataclass(frozen=True, slots=True)
class NamedScorer:
    """A scorer, what a table calls it, and what kept scores are known by.

    Attributes:
        label: Its name in tables and files.
        scorer: What scores.
        identity: Everything that decides its scores, as far as it is known; JSON. None: they depend on the
            list, or on who answers, and are not kept.
        ours: Whether it was made here, and is closed here.
        load: Loads its model, if it was made here; None: it has none.
        make: Makes another such, elsewhere; None: it was made already.
    """

    label: str
    scorer: Scorer
    identity: Mapping[str, object] | None
    ours: bool = False
    load: Callable[[], object] | None = None
    make: Callable[[], Scorer] | None = None


def named_scorers(
    scorers: Scorers, *, device: str | None, max_length: int | None, instruction: str | None = None
) -> list[NamedScorer]:
    """Makes the scorers that were asked for; no weights are loaded and no connection is opened.

    Args:
        scorers: What `nvrerank.scorer_of` takes, or those by label; a string or a scorer may stand alone.
        device: For local scorers that are made here.
        max_length: Likewise, in tokens.
        instruction: What each is told of its task; None: what it says itself.

    Raises:
        InvalidArgumentError: One has no place for an instruction.
        TypeError: One is neither a string nor a mapping nor a scorer.
        ValueError: A specification is wrong, or a label is there twice.
    """
    given: Iterable[tuple[str | None, Any]]
    if isinstance(scorers, Mapping):
        given = scorers.items()
    else:
        given = ((None, one) for one in ([scorers] if isinstance(scorers, str | Scorer) else scorers))
    make = partial(scorer_of, device=device, max_length=max_length, instruction=instruction)
    named = [_named(label, one, partial(make, one)) for label, one in given]
    labels = [one.label for one in named]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise ValueError(f"the scorer {twice!r} is there twice: pass a mapping that gives each its own label")
    return named


def _named(label: str | None, spec: ScorerSpec, make: Callable[[], Scorer]) -> NamedScorer:
    scorer = make()
    if isinstance(spec, Scorer):
        return NamedScorer(label or scorer.name, scorer, _identity(scorer, label))
    label = label or (spec if isinstance(spec, str) else json.dumps(spec, default=repr))
    return NamedScorer(label, scorer, _identity(scorer), True, getattr(scorer, "load", None), make)


def _identity(scorer: Scorer, label: str | None = None) -> dict[str, object] | None:
    """What it says itself; else class and name, and its repr where that is more than a place in memory."""
    known: dict[str, object] = {"label": label} if label else {}
    if scorer.instruction is not None:
        known["instruction"] = scorer.instruction
    if scorer.listwise:
        return None
    if scorer.identity is not None:
        return known | settled_identity(scorer.identity)
    if isinstance(scorer, Composed):
        return None
    kind = type(scorer)
    text = repr(scorer) if kind.__repr__ is not object.__repr__ else None
    return known | {"class": f"{kind.__module__}.{kind.__qualname__}", "name": scorer.name, "repr": text}
