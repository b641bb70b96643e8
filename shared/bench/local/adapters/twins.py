"""Two of a contestant in two threads, each with a part of the pairs: for "two workers of one thread each"."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.local.adapters.base import Adapter, Job, Settings


class Twins(Adapter):
    """Deals passages by their length in characters, longest first, in turn, so that both get as much."""

    def __init__(self, adapters: Sequence[Adapter]) -> None:
        super().__init__(adapters[0].setup)
        self._adapters = adapters
        self._threads = ThreadPoolExecutor(len(adapters))

    def about(self) -> dict[str, Any]:
        """As promised by `Adapter`."""
        return self._adapters[0].about() | {"twins": len(self._adapters)}

    def configure(self, settings: Settings) -> None:
        """As promised by `Adapter`."""
        for adapter in self._adapters:
            adapter.configure(settings)

    def score(self, jobs: Sequence[Job]) -> list[list[float]]:
        """As promised by `Adapter`."""
        places = [(job, place) for job, (_query, texts) in enumerate(jobs) for place in range(len(texts))]
        places.sort(key=lambda at: -len(jobs[at[0]][1][at[1]]))
        hands = [sorted(places[start :: len(self._adapters)]) for start in range(len(self._adapters))]
        dealt = [[_part(jobs, number, hand) for number in range(len(jobs))] for hand in hands]
        answers = list(
            self._threads.map(lambda pair: pair[0].score(pair[1]), zip(self._adapters, dealt, strict=True))
        )
        scores = [[0.0] * len(texts) for _query, texts in jobs]
        for hand, answer in zip(hands, answers, strict=True):
            for (job, place), score in zip(hand, (one for part in answer for one in part), strict=True):
                scores[job][place] = score
        return scores


def _part(jobs: Sequence[Job], number: int, hand: Sequence[tuple[int, int]]) -> Job:
    query, texts = jobs[number]
    return query, [texts[place] for job, place in hand if job == number]
