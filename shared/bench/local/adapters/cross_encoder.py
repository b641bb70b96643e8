"""sentence-transformers' CrossEncoder, on torch or through its own ONNX and OpenVINO backends."""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers import CrossEncoder

from bench.local.adapters import mean_pooling
from bench.local.adapters.base import Pair, PairAdapter, Settings, Setup


class SentenceTransformers(PairAdapter):
    """It sorts by characters itself, longest first."""

    packages = ("sentence-transformers", "transformers", "torch", "optimum", "onnxruntime", "openvino")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        mean_pooling.register()
        backend = setup.options.get("backend", "torch")
        model_kwargs: dict[str, Any] = {"dtype": torch.float32} if backend == "torch" else {"export": True}
        self._model = CrossEncoder(
            setup.folder, device="cpu", backend=backend, local_files_only=True, model_kwargs=model_kwargs
        )
        self._size = 32

    def configure(self, settings: Settings) -> None:
        """As promised by `Adapter`."""
        self._size = settings.get("batch_size", 32)

    def score_pairs(self, pairs: list[Pair]) -> list[float]:
        """As promised by `PairAdapter`."""
        scores = self._model.predict(
            pairs, batch_size=self._size, show_progress_bar=False, activation_fn=torch.nn.Identity()
        )
        return [float(score) for score in scores]


make = SentenceTransformers
