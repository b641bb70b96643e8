"""ONNX Runtime: a BERT with attention fused, float32 or int8; tokenised by `tokenizers`, batched by hand."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Encoding, Tokenizer

from bench.local import onnx_models
from bench.local.engines.base import PairEngine, Setup, TextPair, in_batches


class PaddedBatches(PairEngine):
    """Tokenises all pairs at once, then runs padded batches of them."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._tokenizer = Tokenizer.from_file(str(Path(setup.folder) / "tokenizer.json"))
        self._tokenizer.enable_truncation(setup.max_length)

    def score_pairs(self, pairs: list[TextPair]) -> list[float]:
        encodings = self._tokenizer.encode_batch(pairs)
        lengths = [len(encoding) for encoding in encodings]
        run = lambda batch: self.run(padded([encodings[place] for place in batch]))  # noqa: E731
        return in_batches(lengths, self.settings, run)

    @abstractmethod
    def run(self, inputs: dict[str, Any]) -> Sequence[float]:
        """Logits of a batch."""


def padded(encodings: Sequence[Encoding]) -> dict[str, Any]:
    """A batch's inputs: [pairs, longest], int64."""
    shape = (len(encodings), max(len(encoding) for encoding in encodings))
    inputs = {name: np.zeros(shape, np.int64) for name in onnx_models.INPUTS}
    for row, encoding in enumerate(encodings):
        inputs["input_ids"][row, : len(encoding)] = encoding.ids
        inputs["attention_mask"][row, : len(encoding)] = 1
        inputs["token_type_ids"][row, : len(encoding)] = encoding.type_ids
    return inputs


class OnnxRuntime(PaddedBatches):
    """One session, with its defaults unless told how many threads it has."""

    packages = ("onnxruntime", "tokenizers")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        int8 = setup.options["precision"] == "int8"
        file = (onnx_models.onnx_int8 if int8 else onnx_models.onnx_fused)(Path(setup.folder))
        options = onnxruntime.SessionOptions()
        if "threads" in setup.options:
            options.intra_op_num_threads = setup.options["threads"]
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._names = [one.name for one in self._session.get_inputs()]

    def run(self, inputs: dict[str, Any]) -> Sequence[float]:
        [logits] = self._session.run(["logits"], {name: inputs[name] for name in self._names})
        return [float(row[0]) for row in logits]
