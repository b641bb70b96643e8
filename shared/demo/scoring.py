"""What the demonstration adds around the scorer: a memory and a clock."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from nvrerank import Scorer


class Clock:
    """Adds up where the time goes, by name; one thing is measured at a time."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._start = time.perf_counter()

    def total(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self._start

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Adds the time that the block takes."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start


class RememberingScorer(Scorer):
    """Scores each pair once: both frameworks ask for the same ones.

    Attributes:
        scored: How many pairs went through the model.
        remembered: How many were asked for again and answered from memory.
    """

    def __init__(self, scorer: Scorer, clock: Clock) -> None:
        self._scorer = scorer
        self._clock = clock
        self._scores: dict[tuple[str, str], float] = {}
        self.scored = self.remembered = 0

    @property
    def name(self) -> str:
        """The name of the scorer that does the work."""
        return self._scorer.name

    def _score(self, query: str, passages: Sequence[str]) -> list[float]:
        new = [passage for passage in passages if (query, passage) not in self._scores]
        if new:
            with self._clock.measure("reranking"):
                scores = self._scorer.score(query, new)
            keys = [(query, passage) for passage in new]
            self._scores.update(zip(keys, scores, strict=True))
        self.scored += len(new)
        self.remembered += len(passages) - len(new)
        return [self._scores[query, passage] for passage in passages]
