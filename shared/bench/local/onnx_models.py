"""A checkpoint for ONNX Runtime and OpenVINO: exported, fused and quantised as their own documents tell.

Runs in the peers' environment. Each file is made once and lies beside the checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.local.workloads import QUERIES, documentation

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
CALIBRATION_PAIRS = 300


def once(file: Path, make: Callable[[Path], None]) -> Path:
    """Makes a file under another name and then renames it, so that a half-made one is never taken."""
    if not file.exists():
        unfinished = file.with_name(f"unfinished-{os.getpid()}-{file.name}")
        make(unfinished)
        unfinished.rename(file)
    return file


def onnx_plain(folder: Path) -> Path:
    """float32, as torch exports it."""
    return once(folder / "plain.onnx", lambda to: _export(folder, to))


def onnx_fused(folder: Path) -> Path:
    """float32 with attention, layer norm and GELU fused by onnxruntime's own optimizer for BERT."""

    def fuse(to: Path) -> None:
        from onnxruntime.transformers import optimizer
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(folder)
        model = optimizer.optimize_model(
            str(onnx_plain(folder)),
            model_type="bert",
            num_heads=config.num_attention_heads,
            hidden_size=config.hidden_size,
        )
        counts = model.get_fused_operator_statistics()
        if counts["Attention"] + counts["MultiHeadAttention"] != config.num_hidden_layers:
            raise RuntimeError(f"attention was not fused: {counts}")
        model.save_model_to_file(str(to))

    return once(folder / "fused.onnx", fuse)


def onnx_int8(folder: Path) -> Path:
    """The fused model, weights int8 for each output and activations quantised as they come (dynamic)."""

    def quantize(to: Path) -> None:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(
            str(onnx_fused(folder)),
            str(to),
            weight_type=QuantType.QInt8,
            per_channel=True,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},  # fused nodes hide their types
        )

    return once(folder / "int8.onnx", quantize)


def _export(folder: Path, to: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    model.requires_grad_(requires_grad=False)  # the exporter takes weights for constants
    sample = AutoTokenizer.from_pretrained(folder)(
        ["what is it?"] * 2, ["this one", "and that one"], padding=True, return_tensors="pt"
    )
    names = [name for name in INPUTS if name in sample]

    class Logits(torch.nn.Module):
        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = model(**dict(zip(names, inputs, strict=True))).logits
            return logits

    torch.onnx.export(
        Logits(),
        tuple(sample[name] for name in names),
        str(to),
        input_names=names,
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "tokens"} for name in names} | {"logits": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )


def openvino_int8(folder: Path) -> Path:
    """OpenVINO's model, weights and activations int8, ranges calibrated by nncf on text of the same kind.

    The calibration text is not what is measured: other queries, other places of the documentation.
    """
    file = folder / "openvino-int8.xml"
    if not file.exists():
        import nncf
        import openvino

        model = openvino.convert_model(onnx_plain(folder))
        data = nncf.Dataset(list(calibration(folder)))
        quantized = nncf.quantize(
            model, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=CALIBRATION_PAIRS
        )
        openvino.save_model(quantized, file, compress_to_fp16=False)
    return file


def calibration(folder: Path) -> Sequence[dict[str, Any]]:
    """Inputs of single pairs, as numpy arrays."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = documentation(CALIBRATION_PAIRS, words=90, start=60_000)
    return [
        dict(tokenizer(QUERIES[1 + number % 9], text, truncation=True, max_length=512, return_tensors="np"))
        for number, text in enumerate(texts)
    ]
