"""sentence-transformers' CrossEncoder, on torch or through its own ONNX and OpenVINO backends."""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers import CrossEncoder

from bench.local.engines import mean_pooling
from bench.local.engines.base import PairEngine, Setup, TextPair


class SentenceTransformers(PairEngine):
    """It sorts by characters itself, longest first."""

    packages = ("sentence-transformers", "transformers", "torch", "optimum", "onnxruntime", "openvino")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        mean_pooling.register()
        backend = setup.options.get("backend", "torch")
        dtype = getattr(torch, setup.options.get("dtype", "float32"))
        model_kwargs: dict[str, Any] = {"dtype": dtype} if backend == "torch" else {"export": True}
        self._model = CrossEncoder(
            setup.folder, device="cpu", backend=backend, local_files_only=True, model_kwargs=model_kwargs
        )

    def score_pairs(self, pairs: list[TextPair]) -> list[float]:
        size, identity = self.settings["batch_size"], torch.nn.Identity()
        scores = self._model.predict(pairs, batch_size=size, show_progress_bar=False, activation_fn=identity)
        return [float(score) for score in scores]
