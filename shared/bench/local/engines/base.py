"""What a worker asks of a library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bench.local.workloads import QueryGroup

TextPair = tuple[str, str]
BatchSettings = dict[str, Any]
"""`batch_size`, and `by_length`: whether passages are sorted for a library that does not sort by itself."""


@dataclass(frozen=True)
class Setup:
    """What an engine is made from."""

    folder: str  # the checkpoint
    first: str  # the first text of a pair, with {query}
    second: str  # the second, with {passage}
    max_length: int  # tokens that are read
    options: dict[str, Any] = field(default_factory=dict)  # the engine's own

    def pairs(self, groups: Sequence[QueryGroup]) -> list[TextPair]:
        """All pairs of all queries, as texts."""
        return [
            (self.first.format(query=query), self.second.format(passage=text))
            for query, texts in groups
            for text in texts
        ]


class Engine(ABC):
    """A library on one checkpoint. `score` is timed; nothing else is."""

    packages: tuple[str, ...] = ()

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.settings: BatchSettings = {}

    def about(self) -> dict[str, Any]:
        """Versions of the packages that do the work."""
        return {"versions": {package: _version(package) for package in self.packages}}

    def configure(self, settings: BatchSettings) -> None:
        """Takes the settings of the next `score`."""
        self.settings = settings

    @abstractmethod
    def score(self, groups: Sequence[QueryGroup]) -> list[list[float]]:
        """Logits for each query's passages, tokenisation included."""

    def lengths(self, groups: Sequence[QueryGroup]) -> list[int]:
        """Tokens of each pair, cut to what is read.

        Raises:
            NotImplementedError: Only the reference counts.
        """
        raise NotImplementedError(type(self).__name__)


class PairEngine(Engine):
    """A library that knows pairs, not queries: all pairs of all queries go to it at once."""

    def score(self, groups: Sequence[QueryGroup]) -> list[list[float]]:
        scores = iter(self.score_pairs(self.setup.pairs(groups)))
        return [[float(next(scores)) for _ in texts] for _query, texts in groups]

    @abstractmethod
    def score_pairs(self, pairs: list[TextPair]) -> Sequence[float]:
        """Logits of pairs."""


def in_batches(
    lengths: Sequence[int], settings: BatchSettings, run: Callable[[list[int]], Sequence[float]]
) -> list[float]:
    """Runs batches of positions, in input order or longest first; scores come back in input order."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place] * settings.get("by_length", False))
    scores = [0.0] * len(order)
    for start in range(0, len(order), settings["batch_size"]):
        batch = order[start : start + settings["batch_size"]]
        for place, score in zip(batch, run(batch), strict=True):
            scores[place] = float(score)
    return scores


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
