"""Scorers from what they were called, and what of them decides a score."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import nvrerank
from nvrerank.scorer import Scorer

from .score_cache import fingerprint_of_model

Scorers = str | Scorer | Iterable[str | Scorer] | Mapping[str, Scorer]

_FORMS = "bundled, local:FOLDER_OR_NAME, local:NAME@REVISION, hosted:MODEL, hosted:MODEL@URL or hosted:URL"
_HOSTED = re.compile(r"(?P<model>[^@\s]*?)@?(?P<url>https?://\S+)?")


class ScorerSpec(NamedTuple):
    """What scores, as it was called: on this machine or behind an API.

    Without a model it is the bundled one, or the server's own.
    """

    label: str
    kind: Literal["local", "hosted"]
    model: str | None = None
    revision: str | None = None
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class NamedScorer:
    """A scorer, what a table calls it, and what kept scores are known by.

    Attributes:
        label: Its name in tables and files.
        scorer: What scores.
        identity: Everything that decides its scores, as far as it is known; JSON.
        ours: Whether it was made here, and is closed here.
        load: Loads its model, if it was made here; None: it has none.
    """

    label: str
    scorer: Scorer
    identity: Mapping[str, object]
    ours: bool = False
    load: Callable[[], object] | None = None


def named_scorers(scorers: Scorers, *, device: str | None, max_length: int | None) -> list[NamedScorer]:
    """Makes the scorers that were asked for; no weights are loaded and no connection is opened.

    Args:
        scorers: Specifications, scorers, or scorers by label; one may stand alone.
        device: For local scorers that are made here.
        max_length: Likewise, in tokens.

    Raises:
        TypeError: One is neither a string nor a scorer.
        ValueError: A specification is wrong, or a label is there twice.
    """
    if isinstance(scorers, str | Scorer):
        scorers = [scorers]
    pairs = scorers.items() if isinstance(scorers, Mapping) else ((None, one) for one in scorers)
    named: list[NamedScorer] = []
    for label, one in pairs:
        if isinstance(one, str):
            named.append(_made(scorer_spec(one), device, max_length))
        elif isinstance(one, Scorer):
            named.append(NamedScorer(label or one.name, one, _identity(label, one)))
        else:
            raise TypeError(f"a scorer is a string or a Scorer, not {type(one).__name__}")
    labels = [one.label for one in named]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise ValueError(f"the scorer {twice!r} is there twice: pass a mapping that gives each its own label")
    return named


def _made(spec: ScorerSpec, device: str | None, max_length: int | None) -> NamedScorer:
    if spec.kind == "hosted":
        from nvrerank.hosted import HostedScorer

        hosted = HostedScorer(spec.model, base_url=spec.base_url)
        return NamedScorer(spec.label, hosted, {"made": repr(hosted)}, ours=True)
    from nvrerank.local import LocalScorer

    local = LocalScorer(spec.model, revision=spec.revision, device=device, max_length=max_length)
    identity = {"made": repr(local), "revision": spec.revision, "max_length": max_length, **_files(local)}
    return NamedScorer(spec.label, local, identity, ours=True, load=local.load)


def _identity(label: str | None, scorer: Scorer) -> dict[str, object]:
    """Its label, class and name, its repr where that says more than where it lies in memory, its files."""
    kind = type(scorer)
    text = repr(scorer) if kind.__repr__ is not object.__repr__ else None
    known = {"label": label, "class": f"{kind.__module__}.{kind.__qualname__}", "name": scorer.name}
    return {**known, "repr": text, **_files(scorer)}


def _files(scorer: Scorer) -> dict[str, object]:
    """What a model on this machine is known by, and the code that reads it."""
    folder = _folder(scorer)
    if folder is None:
        return {}
    return {"files": fingerprint_of_model(folder), "nvrerank": nvrerank.__version__}


def _folder(scorer: Scorer) -> Path | None:
    """Where a LocalScorer's model lies, also that of one inside another scorer; importing it brings torch."""
    inner = getattr(scorer, "scorer", None)
    if isinstance(inner, Scorer):
        return _folder(inner)
    folder = getattr(scorer, "folder", None)
    return folder if isinstance(folder, Path) else None


def scorer_spec(text: str) -> ScorerSpec:
    """Reads `bundled` (once `embedded`), `local:NAME[@REVISION]`, `hosted:MODEL[@URL]` or `hosted:URL`.

    Raises:
        ValueError: It is none of these.
    """
    kind, _, value = text.partition(":")
    if text in ("bundled", "embedded"):
        return ScorerSpec(text, "local")
    if kind == "local" and value.strip():
        name, at, revision = value.rpartition("@")
        if at and name and "/" not in revision:
            return ScorerSpec(text, "local", name, revision)
        return ScorerSpec(text, "local", value)
    if kind == "hosted" and (match := _HOSTED.fullmatch(value)) and any(match.groups()):
        return ScorerSpec(text, "hosted", match["model"] or None, base_url=match["url"])
    raise ValueError(f"{text!r}: a scorer is {_FORMS}")
