"""nvrerank itself."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from bench.local.adapters.base import Adapter, Job, Setup


class Ours(Adapter):
    """`LocalScorer`, by its public names only."""

    packages = ("torch", "tokenizers", "nvrerank")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        from nvrerank import LocalScorer

        known = inspect.signature(LocalScorer).parameters
        unknown = [name for name in setup.options if name not in known]
        if unknown:
            raise ValueError(f"this LocalScorer has no argument {unknown[0]}")
        self._scorer = LocalScorer(
            setup.folder, device="cpu", max_length=setup.max_length, **setup.options
        ).load()

    def score(self, jobs: Sequence[Job]) -> list[list[float]]:
        """As promised by `Adapter`."""
        if len(jobs) == 1:
            return [self._scorer.score(*jobs[0])]
        return self._scorer.score_many(jobs)


make = Ours
