"""FlagEmbedding's FlagReranker."""

from __future__ import annotations

from FlagEmbedding import FlagReranker

from bench.local.engines.base import PairEngine, Setup, TextPair


class FlagEmbedding(PairEngine):
    """It sorts by tokens itself, and computes its first batch twice, to see whether it fits into memory."""

    packages = ("FlagEmbedding", "transformers", "torch")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._model = FlagReranker(setup.folder, use_fp16=False, devices="cpu", max_length=setup.max_length)

    def score_pairs(self, pairs: list[TextPair]) -> list[float]:
        scores = self._model.compute_score(pairs, batch_size=self.settings["batch_size"])
        return [float(score) for score in scores]
