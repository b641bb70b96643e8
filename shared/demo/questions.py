"""The questions and the topics that answer them, read from questions.toml and checked against the corpus."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


class DemoError(Exception):
    """The demonstration can't go on; the message is for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a person asks, and the topics that answer it, named as the corpus names them."""

    text: str
    topics: frozenset[str]


def read(topics: Iterable[str]) -> list[Question]:
    """The questions in the file's order.

    Args:
        topics: Every topic of this Python's corpus; upper and lower case differ between versions.

    Raises:
        DemoError: A topic that should answer a question is not in the corpus.
    """
    named = {topic.casefold(): topic for topic in topics}
    data = tomllib.loads(Path(__file__).with_name("questions.toml").read_text(encoding="utf-8"))
    return [_question(entry["ask"], entry["topics"], named) for entry in data["questions"]]


def _question(text: str, topics: list[str], named: dict[str, str]) -> Question:
    missing = [topic for topic in topics if topic.casefold() not in named]
    if missing:
        raise DemoError(f"this Python documents no {', '.join(missing)}, which should answer {text!r}")
    return Question(text, frozenset(named[topic.casefold()] for topic in topics))
