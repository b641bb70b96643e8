"""Every other cross-encoder that transformers knows (ModernBERT, DeBERTa, ...).

Sequences of a batch are padded to the longest; since batches hold like lengths, little is wasted.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nvrerank.errors import MissingExtraError, ModelLoadError

from .checkpoint import Checkpoint
from .config import Config
from .families import LoadedModel
from .prompt import TemplateEncoder, TokenPair
from .quantized import quantize


def load_generic(
    checkpoint: Checkpoint, *, dtype: torch.dtype, device: torch.device, int8: bool
) -> LoadedModel:
    """Loads a model with one label through `AutoModelForSequenceClassification`.

    Raises:
        MissingExtraError: transformers is not installed.
        ModelLoadError: transformers doesn't know the model_type, the model has more labels than one,
            or the file and the model differ by a tensor.
    """
    model_type = checkpoint.config.values["model_type"]
    module, report = _from_pretrained(checkpoint, dtype)
    for kind in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        for name in sorted(map(str, report[kind])):
            raise ModelLoadError(f"{checkpoint.folder}: tensor {name} is among the {kind} of {model_type}")
    if module.config.num_labels != 1:
        raise ModelLoadError(
            f"{checkpoint.config.file}: {module.config.num_labels} labels: a reranker of this kind has 1, "
            "this is a classifier"
        )
    module.requires_grad_(requires_grad=False).eval().to(device)
    if int8:
        quantize(module, f"{module.base_model_prefix}.")
    encoder = TemplateEncoder(checkpoint.tokenizer(module.get_input_embeddings().num_embeddings))
    return LoadedModel(encoder, _context(checkpoint), partial(_padded, module, device=device))


def _from_pretrained(checkpoint: Checkpoint, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    try:
        from transformers import AutoModelForSequenceClassification
    except ImportError as error:
        raise MissingExtraError("this model needs transformers: pip install 'nvrerank[local]'") from error
    try:
        return AutoModelForSequenceClassification.from_pretrained(  # type: ignore[no-any-return]
            checkpoint.folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # whatever transformers raises for a folder it can't use
        raise ModelLoadError(
            f"{checkpoint.config.file}: transformers can't load model_type "
            f"{checkpoint.config.values['model_type']!r:.80} as a cross-encoder: {error}"
        ) from error


def _context(checkpoint: Checkpoint) -> int:
    positions = checkpoint.config.size("max_position_embeddings", 512)
    file = checkpoint.folder / "tokenizer_config.json"
    longest = Config.read(file).values.get("model_max_length") if file.is_file() else None
    return min(positions, longest) if isinstance(longest, int) else positions


def _padded(module: nn.Module, batch: Sequence[TokenPair], *, device: torch.device) -> Tensor:
    longest = max(len(pair.ids) for pair in batch)
    filler = getattr(module.config, "pad_token_id", None) or 0
    rows = [[*pair.ids, *[filler] * (longest - len(pair.ids))] for pair in batch]
    inputs = {
        "input_ids": torch.tensor(rows, device=device),  # [pairs, longest]
        "attention_mask": torch.tensor(
            [[int(place < len(pair.ids)) for place in range(longest)] for pair in batch], device=device
        ),
    }
    if getattr(module.config, "type_vocab_size", 0) > 1 and _takes_types(module):
        inputs["token_type_ids"] = torch.tensor(
            [[int(pair.split <= place < len(pair.ids)) for place in range(longest)] for pair in batch],
            device=device,
        )
    return module(**inputs).logits[:, 0].float()  # type: ignore[no-any-return]


def _takes_types(module: nn.Module) -> bool:
    return "token_type_ids" in inspect.signature(module.forward).parameters
