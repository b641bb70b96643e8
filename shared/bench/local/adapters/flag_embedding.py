"""FlagEmbedding's FlagReranker."""

from __future__ import annotations

from FlagEmbedding import FlagReranker

from bench.local.adapters.base import Pair, PairAdapter, Settings, Setup


class FlagEmbedding(PairAdapter):
    """It sorts by tokens itself, and computes its first batch twice, to see whether it fits into memory."""

    packages = ("FlagEmbedding", "transformers", "torch")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._model = FlagReranker(setup.folder, use_fp16=False, devices="cpu", max_length=setup.max_length)
        self._size = 128

    def configure(self, settings: Settings) -> None:
        """As promised by `Adapter`."""
        self._size = settings.get("batch_size", 128)

    def score_pairs(self, pairs: list[Pair]) -> list[float]:
        """As promised by `PairAdapter`."""
        scores = self._model.compute_score(pairs, batch_size=self._size)
        return [float(score) for score in scores]


make = FlagEmbedding
