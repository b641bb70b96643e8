"""Plain transformers: batches in input order, padded to their longest. With batches of one: the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer

from bench.local.engines import mean_pooling
from bench.local.engines.base import PairEngine, Setup, TextPair, in_batches
from bench.local.workloads import QueryGroup


class Naive(PairEngine):
    """As many write it by hand."""

    packages = ("torch", "transformers", "tokenizers")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._tokenizer = AutoTokenizer.from_pretrained(setup.folder)
        model_class = mean_pooling.class_for(AutoConfig.from_pretrained(setup.folder))
        self._model = model_class.from_pretrained(setup.folder, dtype=torch.float32).eval()

    @torch.inference_mode()
    def score_pairs(self, pairs: list[TextPair]) -> list[float]:
        def run(batch: list[int]) -> list[float]:
            inputs = self._tokenized([pairs[place] for place in batch], padding=True, return_tensors="pt")
            logits: list[float] = self._model(**inputs).logits[:, 0].tolist()
            return logits

        return in_batches([0] * len(pairs), self.settings, run)

    def lengths(self, groups: Sequence[QueryGroup]) -> list[int]:
        return [len(ids) for ids in self._tokenized(self.setup.pairs(groups)).input_ids]

    def _tokenized(self, pairs: list[TextPair], **options: Any) -> Any:
        firsts, seconds = (list(side) for side in zip(*pairs, strict=True))
        return self._tokenizer(firsts, seconds, truncation=True, max_length=self.setup.max_length, **options)
