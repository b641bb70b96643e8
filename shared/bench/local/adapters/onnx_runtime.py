"""ONNX Runtime: a BERT with attention fused, float32 or int8; tokenised by `tokenizers`, batched by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Encoding, Tokenizer

from bench.local import exports
from bench.local.adapters.base import Pair, PairAdapter, Settings, Setup, in_batches


class ByHand(PairAdapter):
    """Tokenises all pairs at once, then runs padded batches of encodings through `run`."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._tokenizer = Tokenizer.from_file(str(Path(setup.folder) / "tokenizer.json"))
        self._tokenizer.enable_truncation(setup.max_length)
        self._settings: Settings = {}

    def configure(self, settings: Settings) -> None:
        """As promised by `Adapter`."""
        self._settings = {"batch_size": 32, "by_length": False, **settings}

    def score_pairs(self, pairs: list[Pair]) -> list[float]:
        """As promised by `PairAdapter`."""
        encodings = self._tokenizer.encode_batch(pairs)
        return in_batches(
            [len(encoding) for encoding in encodings],
            self._settings["batch_size"],
            by_length=self._settings["by_length"],
            run=lambda places: self.run(padded([encodings[place] for place in places])),
        )

    def run(self, inputs: dict[str, Any]) -> Sequence[float]:
        """Logits of a batch."""
        raise NotImplementedError


def padded(encodings: Sequence[Encoding]) -> dict[str, Any]:
    """A batch's inputs: [pairs, longest], int64."""
    longest = max(len(encoding) for encoding in encodings)
    inputs = {
        name: np.zeros((len(encodings), longest), np.int64)
        for name in ("input_ids", "attention_mask", "token_type_ids")
    }
    for row, encoding in enumerate(encodings):
        inputs["input_ids"][row, : len(encoding)] = encoding.ids
        inputs["attention_mask"][row, : len(encoding)] = 1
        inputs["token_type_ids"][row, : len(encoding)] = encoding.type_ids
    return inputs


class OnnxRuntime(ByHand):
    """One session, at the library's own settings unless told how many threads it has."""

    packages = ("onnxruntime", "tokenizers")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        folder = Path(setup.folder)
        file = (
            exports.onnx_int8(folder) if setup.options["precision"] == "int8" else exports.onnx_fused(folder)
        )
        options = onnxruntime.SessionOptions()
        if "threads" in setup.options:
            options.intra_op_num_threads = setup.options["threads"]
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._names = [one.name for one in self._session.get_inputs()]

    def run(self, inputs: dict[str, Any]) -> Sequence[float]:
        """As promised by `ByHand`."""
        [logits] = self._session.run(["logits"], {name: inputs[name] for name in self._names})
        return [float(row[0]) for row in logits]


make = OnnxRuntime
