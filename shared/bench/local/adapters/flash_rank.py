"""FlashRank: its own code on our model, laid out as what it downloads; float32, fused, one batch for all."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from flashrank import Ranker, RerankRequest
from flashrank.Config import model_file_map

from bench.local import exports
from bench.local.adapters.base import Adapter, Job, Setup

_NAME = "ms-marco-MiniLM-L-12-v2"  # a name that it knows; only the name of folder and file


class FlashRank(Adapter):
    """Its scores are probabilities; they are turned back to logits here, outside what it does itself."""

    packages = ("FlashRank", "onnxruntime", "tokenizers")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        source = Path(setup.folder)
        cache = source / "flashrank"
        if not (cache / _NAME).exists():
            _lay_out(source, cache / _NAME)
        self._ranker = Ranker(_NAME, cache_dir=str(cache), max_length=setup.max_length, log_level="ERROR")

    def score(self, jobs: Sequence[Job]) -> list[list[float]]:
        """As promised by `Adapter`."""
        return [self._one(query, texts) for query, texts in jobs]

    def _one(self, query: str, texts: list[str]) -> list[float]:
        passages = [{"id": place, "text": text} for place, text in enumerate(texts)]
        scores = [0.0] * len(texts)
        for found in self._ranker.rerank(RerankRequest(query=query, passages=passages)):
            chance = float(found["score"])
            scores[found["id"]] = math.log(chance / (1 - chance))
        return scores


def _lay_out(source: Path, target: Path) -> None:
    fused = exports.onnx_fused(source)
    target.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, target / name)
    (target / "special_tokens_map.json").write_text(json.dumps({"pad_token": "[PAD]", "cls_token": "[CLS]"}))
    shutil.copy(fused, target / model_file_map[_NAME])


make = FlashRank
