"""What a command line calls retrievers and scorers. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_RETRIEVERS = "a retriever is bm25, embedding:NAME or run:FILE"
_SCORERS = (
    "a scorer is embedded, local:FOLDER_OR_NAME, local:NAME@REVISION, hosted:MODEL, hosted:MODEL@URL "
    "or hosted:URL"
)
_HOSTED = re.compile(r"(?P<model>[^@\s]*?)@?(?P<url>https?://\S+)?")


@dataclass(frozen=True, slots=True)
class RetrieverSpec:
    """Where candidates come from.

    Attributes:
        label: As it was given.
        kind: By words, by vectors, or found before.
        value: The model's name or the run file; empty for bm25.
    """

    label: str
    kind: Literal["bm25", "embedding", "run"]
    value: str = ""


@dataclass(frozen=True, slots=True)
class ScorerSpec:
    """What scores.

    Attributes:
        label: As it was given.
        kind: On this machine or behind an API.
        model: Folder, hub name or hosted model; None: the embedded model, or the server's own.
        revision: Branch, tag or commit on the hub.
        base_url: The API's address.
    """

    label: str
    kind: Literal["local", "hosted"]
    model: str | None = None
    revision: str | None = None
    base_url: str | None = None


def retriever_spec(text: str) -> RetrieverSpec:
    """Reads `bm25`, `embedding:NAME` or `run:FILE`.

    Raises:
        ValueError: It is none of these.
    """
    kind, _, value = text.partition(":")
    if text == "bm25":
        return RetrieverSpec(text, "bm25")
    if kind == "embedding" and value.strip():
        return RetrieverSpec(text, "embedding", value)
    if kind == "run" and value.strip():
        return RetrieverSpec(text, "run", value)
    raise ValueError(f"{text!r}: {_RETRIEVERS}")


def scorer_spec(text: str) -> ScorerSpec:
    """Reads `embedded`, `local:NAME[@REVISION]`, `hosted:MODEL[@URL]` or `hosted:URL`.

    Raises:
        ValueError: It is none of these.
    """
    kind, _, value = text.partition(":")
    if text == "embedded":
        return ScorerSpec(text, "local")
    if kind == "local" and value.strip():
        name, at, revision = value.rpartition("@")
        if at and name and "/" not in revision:
            return ScorerSpec(text, "local", name, revision)
        return ScorerSpec(text, "local", value)
    if kind == "hosted" and (match := _HOSTED.fullmatch(value)) and any(match.groups()):
        return ScorerSpec(text, "hosted", match["model"] or None, base_url=match["url"])
    raise ValueError(f"{text!r}: {_SCORERS}")
