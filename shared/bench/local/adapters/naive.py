"""Plain transformers: batches in input order, padded to their longest. With batches of one: the reference."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from bench.local.adapters import mean_pooling
from bench.local.adapters.base import Job, Pair, PairAdapter, Settings, Setup


class Naive(PairAdapter):
    """As many write it by hand."""

    packages = ("torch", "transformers", "tokenizers")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        mean_pooling.register()
        self._tokenizer = AutoTokenizer.from_pretrained(setup.folder)
        model = AutoModelForSequenceClassification.from_pretrained(setup.folder, dtype=torch.float32)
        self._model = model.eval()
        self._size = 32

    def configure(self, settings: Settings) -> None:
        """As promised by `Adapter`."""
        self._size = settings.get("batch_size", 32)

    @torch.inference_mode()
    def score_pairs(self, pairs: list[Pair]) -> list[float]:
        """As promised by `PairAdapter`."""
        scores: list[float] = []
        for start in range(0, len(pairs), self._size):
            firsts, seconds = zip(*pairs[start : start + self._size], strict=True)
            inputs = self._tokenizer(
                list(firsts),
                list(seconds),
                padding=True,
                truncation=True,
                max_length=self.setup.max_length,
                return_tensors="pt",
            )
            scores += self._model(**inputs).logits[:, 0].tolist()
        return scores

    def lengths(self, jobs: Sequence[Job]) -> list[int]:
        """As promised by `Adapter`."""
        firsts, seconds = zip(*self.setup.pairs(jobs), strict=True)
        ids = self._tokenizer(
            list(firsts), list(seconds), truncation=True, max_length=self.setup.max_length
        ).input_ids
        return [len(one) for one in ids]


make = Naive
