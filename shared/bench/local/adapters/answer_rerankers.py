"""AnswerDotAI's rerankers, its cross-encoder on torch."""

from __future__ import annotations

from collections.abc import Sequence

from rerankers import Reranker

from bench.local.adapters.base import Adapter, Job, Settings, Setup


class Rerankers(Adapter):
    """It knows one query at a time; passages are sorted for it beforehand where settings ask for that."""

    packages = ("rerankers", "transformers", "torch")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._model = Reranker(
            setup.folder, model_type="cross-encoder", device="cpu", dtype="float32", verbose=0
        )
        self._settings: Settings = {}

    def configure(self, settings: Settings) -> None:
        """As promised by `Adapter`."""
        self._settings = {"batch_size": 16, **settings}

    def score(self, jobs: Sequence[Job]) -> list[list[float]]:
        """As promised by `Adapter`."""
        return [self._one(query, texts) for query, texts in jobs]

    def _one(self, query: str, texts: list[str]) -> list[float]:
        order = list(range(len(texts)))
        if self._settings.get("by_length"):
            order.sort(key=lambda place: -len(texts[place]))
        ranked = self._model.rank(
            query=query,
            docs=[texts[place] for place in order],
            doc_ids=order,
            batch_size=self._settings["batch_size"],
        )
        scores = [0.0] * len(texts)
        for result in ranked.results:
            scores[result.document.doc_id] = float(result.score)
        return scores


make = Rerankers
