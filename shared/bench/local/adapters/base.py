"""What a worker asks of a contestant."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

Job = tuple[str, list[str]]
Pair = tuple[str, str]
Settings = dict[str, Any]


@dataclass(frozen=True)
class Setup:
    """What an adapter is made from.

    Attributes:
        folder: The checkpoint.
        first: The first text of a pair, with {query}.
        second: The second, with {passage}.
        max_length: Tokens that are read.
        options: The adapter's own.
    """

    folder: str
    first: str
    second: str
    max_length: int
    options: dict[str, Any] = field(default_factory=dict)

    def pairs(self, jobs: Sequence[Job]) -> list[Pair]:
        """All pairs of all jobs, as texts."""
        return [
            (self.first.format(query=query), self.second.format(passage=text))
            for query, texts in jobs
            for text in texts
        ]


class Adapter(ABC):
    """A contestant. `score` is timed; nothing else is."""

    packages: tuple[str, ...] = ()

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def about(self) -> dict[str, Any]:
        """Versions of the packages that do the work."""
        return {"versions": {package: _version(package) for package in self.packages}}

    def configure(self, settings: Settings) -> None:
        """Takes the settings of the next `score`, such as a batch size; most have none."""
        del settings

    @abstractmethod
    def score(self, jobs: Sequence[Job]) -> list[list[float]]:
        """Logits for each job, tokenisation included."""

    def lengths(self, jobs: Sequence[Job]) -> list[int]:
        """Tokens of each pair, cut to what is read.

        Raises:
            NotImplementedError: Only the reference counts.
        """
        raise NotImplementedError(type(self).__name__)


class PairAdapter(Adapter):
    """A contestant that knows pairs, not queries: all jobs' pairs go to it at once."""

    def score(self, jobs: Sequence[Job]) -> list[list[float]]:
        """As promised by `Adapter`."""
        scores = iter(self.score_pairs(self.setup.pairs(jobs)))
        return [[float(next(scores)) for _ in texts] for _query, texts in jobs]

    @abstractmethod
    def score_pairs(self, pairs: list[Pair]) -> Sequence[float]:
        """Logits of pairs."""


def in_batches(
    lengths: Sequence[int], size: int, *, by_length: bool, run: Callable[[list[int]], Sequence[float]]
) -> list[float]:
    """Runs batches of `size` positions, in input order or longest first; scores come back in place."""
    order = (
        sorted(range(len(lengths)), key=lambda place: -lengths[place])
        if by_length
        else list(range(len(lengths)))
    )
    scores = [0.0] * len(order)
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        for place, score in zip(batch, run(batch), strict=True):
            scores[place] = float(score)
    return scores


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
