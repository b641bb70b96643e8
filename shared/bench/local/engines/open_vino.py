"""OpenVINO: float32, bfloat16, or int8 calibrated by nncf; tokenised and batched as for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openvino

from bench.local import onnx_models
from bench.local.engines.base import Setup
from bench.local.engines.onnx_runtime import PaddedBatches


class OpenVino(PaddedBatches):
    """One compiled model for the CPU, computing in float32 where it is not quantised or told otherwise."""

    packages = ("openvino", "nncf", "tokenizers")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        precision = setup.options["precision"]
        make = onnx_models.openvino_int8 if precision == "int8" else onnx_models.onnx_plain
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        if "threads" in setup.options:
            settings["INFERENCE_NUM_THREADS"] = setup.options["threads"]
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(make(Path(setup.folder))), "CPU", settings)
        self._request = compiled.create_infer_request()
        self._names = {name for one in compiled.inputs for name in one.names}

    def run(self, inputs: dict[str, Any]) -> Sequence[float]:
        given = {name: value for name, value in inputs.items() if name in self._names}
        return [float(row[0]) for row in self._request.infer(given)[0]]
