"""nvrerank itself."""

from __future__ import annotations

from collections.abc import Sequence

from bench.local.engines.base import Engine, Setup
from bench.local.workloads import QueryGroup
from nvrerank import LocalScorer


class Ours(Engine):
    """`LocalScorer`, by its public names only."""

    packages = ("torch", "tokenizers", "nvrerank")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        scorer = LocalScorer(setup.folder, device="cpu", max_length=setup.max_length, **setup.options)
        self._scorer = scorer.load()

    def score(self, groups: Sequence[QueryGroup]) -> list[list[float]]:
        if len(groups) == 1:
            return [self._scorer.score(*groups[0])]
        return self._scorer.score_many(groups)


def default_precision() -> str:
    """What `LocalScorer` computes in on this machine where it is told nothing."""
    return str(LocalScorer(device="cpu").identity["dtype"]).removeprefix("torch.")
