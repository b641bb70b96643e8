"""Replicas of a library in a thread each, such as two single-threaded ones on two cores."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.local.engines.base import BatchSettings, Engine
from bench.local.workloads import QueryGroup


class Replicas(Engine):
    """Deals passages by their length in characters, longest first, in turn, so that each gets as much."""

    def __init__(self, replicas: Sequence[Engine]) -> None:
        super().__init__(replicas[0].setup)
        self._replicas = replicas
        self._threads = ThreadPoolExecutor(len(replicas))

    def about(self) -> dict[str, Any]:
        return self._replicas[0].about() | {"replicas": len(self._replicas)}

    def configure(self, settings: BatchSettings) -> None:
        for replica in self._replicas:
            replica.configure(settings)

    def score(self, groups: Sequence[QueryGroup]) -> list[list[float]]:
        places = [
            (group, place) for group, (_query, texts) in enumerate(groups) for place in range(len(texts))
        ]
        places.sort(key=lambda at: -len(groups[at[0]][1][at[1]]))
        count = len(self._replicas)
        shares = [sorted(places[start::count]) for start in range(count)]
        parts = [_share_of(groups, share) for share in shares]
        scores = [[0.0] * len(texts) for _query, texts in groups]
        answers = self._threads.map(lambda replica, part: replica.score(part), self._replicas, parts)
        for share, answer in zip(shares, answers, strict=True):
            for (group, place), score in zip(share, (one for some in answer for one in some), strict=True):
                scores[group][place] = score
        return scores


def _share_of(groups: Sequence[QueryGroup], share: Sequence[tuple[int, int]]) -> list[QueryGroup]:
    return [
        (query, [texts[place] for group, place in share if group == number])
        for number, (query, texts) in enumerate(groups)
    ]
