"""FlashRank: its own code on our model, laid out as what it downloads; float32, fused, one batch for all."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from flashrank import Ranker, RerankRequest
from flashrank.Config import model_file_map

from bench.local import onnx_models
from bench.local.engines.base import Engine, Setup
from bench.local.workloads import QueryGroup

_NAME = "ms-marco-MiniLM-L-12-v2"  # a name that it knows; only the name of folder and file


class FlashRank(Engine):
    """Its scores are probabilities; they are turned back to logits here, outside what it does itself."""

    packages = ("FlashRank", "onnxruntime", "tokenizers")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        source = Path(setup.folder)
        cache = source / "flashrank"
        if not (cache / _NAME).exists():
            _copy_model(source, cache / _NAME)
        self._ranker = Ranker(_NAME, cache_dir=str(cache), max_length=setup.max_length, log_level="ERROR")

    def score(self, groups: Sequence[QueryGroup]) -> list[list[float]]:
        return [self._one(query, texts) for query, texts in groups]

    def _one(self, query: str, texts: list[str]) -> list[float]:
        passages = [{"id": place, "text": text} for place, text in enumerate(texts)]
        found = self._ranker.rerank(RerankRequest(query=query, passages=passages))
        probabilities = {one["id"]: float(one["score"]) for one in found}
        return [math.log(chance / (1 - chance)) for _place, chance in sorted(probabilities.items())]


def _copy_model(source: Path, target: Path) -> None:
    fused = onnx_models.onnx_fused(source)
    target.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, target / name)
    (target / "special_tokens_map.json").write_text(json.dumps({"pad_token": "[PAD]", "cls_token": "[CLS]"}))
    shutil.copy(fused, target / model_file_map[_NAME])
