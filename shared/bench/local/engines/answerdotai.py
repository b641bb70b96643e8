"""AnswerDotAI's rerankers, its cross-encoder on torch."""

from __future__ import annotations

from collections.abc import Sequence

from rerankers import Reranker

from bench.local.engines.base import Engine, Setup
from bench.local.workloads import QueryGroup


class Rerankers(Engine):
    """It takes one query at a time; passages are sorted for it where the settings ask for that."""

    packages = ("rerankers", "transformers", "torch")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._model = Reranker(
            setup.folder, model_type="cross-encoder", device="cpu", dtype="float32", verbose=0
        )

    def score(self, groups: Sequence[QueryGroup]) -> list[list[float]]:
        return [self._one(query, texts) for query, texts in groups]

    def _one(self, query: str, texts: list[str]) -> list[float]:
        order = sorted(range(len(texts)), key=lambda place: -len(texts[place]) * self.settings["by_length"])
        ranked = self._model.rank(
            query=query,
            docs=[texts[place] for place in order],
            doc_ids=order,
            batch_size=self.settings["batch_size"],
        )
        by_place = {result.document.doc_id: float(result.score) for result in ranked.results}
        return [by_place[place] for place in range(len(texts))]
