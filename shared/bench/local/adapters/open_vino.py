"""OpenVINO: float32, or int8 calibrated by nncf; tokenised and batched as for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openvino

from bench.local import exports
from bench.local.adapters.base import Setup
from bench.local.adapters.onnx_runtime import ByHand


class OpenVino(ByHand):
    """One compiled model for the CPU, computing in float32 where it is not quantised."""

    packages = ("openvino", "nncf", "tokenizers")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        folder = Path(setup.folder)
        core = openvino.Core()
        int8 = setup.options["precision"] == "int8"
        model = core.read_model(exports.openvino_int8(folder) if int8 else exports.onnx_plain(folder))
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if "threads" in setup.options:
            settings["INFERENCE_NUM_THREADS"] = setup.options["threads"]
        compiled = core.compile_model(model, "CPU", settings)
        self._request = compiled.create_infer_request()
        self._names = {name for one in compiled.inputs for name in one.names}

    def run(self, inputs: dict[str, Any]) -> Sequence[float]:
        """As promised by `ByHand`."""
        given = {name: value for name, value in inputs.items() if name in self._names}
        return [float(row[0]) for row in self._request.infer(given)[0]]


make = OpenVino
