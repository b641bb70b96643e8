"""Where training starts: MiniLM's weights under the new names, and document frequencies of the training passages."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from nvrerank.local.two_segment import TwoSegmentConfig, TwoSegmentEncoder
from safetensors.torch import load_file
from torch import Tensor

GATE = -1.0  # where the gates start: a little open
COSINE = 20.0  # the weight of the cosine at the start

_RENAMED = {
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
}


def from_bert(folder: Path, *, first_crossing_layer: int = 0, gate: float = GATE) -> TwoSegmentEncoder:
    """Build the model from a BERT checkpoint; every new term but the cosine is zero."""
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = TwoSegmentConfig.from_dict({**settings, "first_crossing_layer": first_crossing_layer})
    model = TwoSegmentEncoder(config)
    state = dict(model.state_dict())
    state |= bert_tensors(load_file(folder / "model.safetensors"), config.num_hidden_layers)
    for name in ("head.weight", "head.bias", "lexical.direct.weight", "lexical.down.weight"):
        state[name] = torch.zeros_like(state[name])
    for layer in range(first_crossing_layer, config.num_hidden_layers):
        state[f"layers.{layer}.gates"] = torch.full_like(state[f"layers.{layer}.gates"], gate)
    state["weights"] = torch.tensor([COSINE, 0.0, 0.0])
    model.load_state_dict(state)
    return model


def bert_tensors(bert: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Rename BERT's tensors; token type 0 goes into the positions, three projections into one."""
    given = {name.removeprefix("bert."): tensor for name, tensor in bert.items()}
    tensors = {
        "words.weight": given["embeddings.word_embeddings.weight"],
        "positions.weight": given["embeddings.position_embeddings.weight"]
        + given["embeddings.token_type_embeddings.weight"][0],
        "embedding_norm.weight": given["embeddings.LayerNorm.weight"],
        "embedding_norm.bias": given["embeddings.LayerNorm.bias"],
    }
    for layer in range(layers):
        old, new = f"encoder.layer.{layer}", f"layers.{layer}"
        for kind in ("weight", "bias"):
            parts = [given[f"{old}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            tensors[f"{new}.qkv.{kind}"] = torch.cat(parts)
            tensors |= {f"{new}.{short}.{kind}": given[f"{old}.{long}.{kind}"] for long, short in _RENAMED.items()}
    return tensors


def inverse_document_frequencies(passages: Iterable[Sequence[int]], vocabulary: int, silent: Iterable[int]) -> Tensor:
    """Smoothed idf of every token id, `[vocabulary]`; 0 for the silent ids (special tokens)."""
    seen: Counter[int] = Counter()
    total = 0
    for ids in passages:
        seen.update(set(ids))
        total += 1
    idf = torch.tensor([math.log(1 + total / (seen[token] + 1)) for token in range(vocabulary)])
    idf[list(silent)] = 0.0
    return idf
