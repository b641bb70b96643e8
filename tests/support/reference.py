"""The decoder rerankers once more, in float64 and as the formulas stand: the oracle.

One pair at a time, no mask, no packing, no library attention, rotations as complex numbers. The
switches are the mistakes that one could make; a test holds that each would be noticed.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def score(
    ids: list[int],
    config: dict[str, Any],
    tensors: dict[str, Tensor],
    *,
    causal: bool = False,
    last_token: bool = False,
    scaled_rope: bool = True,
) -> float:
    weights = {name: tensor.double() for name, tensor in tensors.items()}
    hidden = weights["model.embed_tokens.weight"][torch.tensor(ids)]  # [tokens, hidden]
    turns = _turns(len(ids), config, scaled=scaled_rope)
    for layer in range(config["num_hidden_layers"]):
        own = {
            name.removeprefix(f"model.layers.{layer}."): tensor
            for name, tensor in weights.items()
            if name.startswith(f"model.layers.{layer}.")
        }
        hidden = hidden + _attention(
            _norm(hidden, own["input_layernorm.weight"], config), own, turns, config, causal=causal
        )
        inner = _norm(hidden, own["post_attention_layernorm.weight"], config)
        gate = inner @ own["mlp.gate_proj.weight"].T
        hidden = hidden + (gate * torch.sigmoid(gate) * (inner @ own["mlp.up_proj.weight"].T)) @ (
            own["mlp.down_proj.weight"].T
        )
    hidden = _norm(hidden, weights["model.norm.weight"], config)
    pooled = hidden[-1] if last_token else hidden.mean(0)
    labels = weights["score.weight"] @ pooled
    logit = labels[0] if len(labels) == 1 else labels[1] - labels[0]
    return float(logit) / config.get("temperature", 1.0)


def _norm(hidden: Tensor, weight: Tensor, config: dict[str, Any]) -> Tensor:
    return weight * hidden / (hidden.pow(2).mean(-1, keepdim=True) + config["rms_norm_eps"]).sqrt()


def _attention(
    hidden: Tensor, own: dict[str, Tensor], turns: Tensor, config: dict[str, Any], *, causal: bool
) -> Tensor:
    size = config["head_dim"]
    group = config["num_attention_heads"] // config["num_key_value_heads"]
    mixed = []
    for head in range(config["num_attention_heads"]):
        mine = slice(head * size, (head + 1) * size)
        shared = slice(head // group * size, (head // group + 1) * size)
        query = _rotate(hidden @ own["self_attn.q_proj.weight"][mine].T, turns)
        key = _rotate(hidden @ own["self_attn.k_proj.weight"][shared].T, turns)
        value = hidden @ own["self_attn.v_proj.weight"][shared].T
        logits = query @ key.T / math.sqrt(size)
        if causal:
            logits = logits.masked_fill(torch.ones_like(logits).triu(1).bool(), -math.inf)
        mixed.append(torch.softmax(logits, -1) @ value)
    return torch.cat(mixed, -1) @ own["self_attn.o_proj.weight"].T


def _turns(tokens: int, config: dict[str, Any], *, scaled: bool) -> Tensor:
    size = config["head_dim"]
    angles = []
    for pair in range(size // 2):
        frequency = config["rope_theta"] ** (-2 * pair / size)
        if scaled and config["rope_scaling"]:
            frequency = _llama3(frequency, config["rope_scaling"])
        angles.append([frequency * place for place in range(tokens)])
    return torch.polar(torch.ones(tokens, size // 2, dtype=torch.float64), torch.tensor(angles).double().T)


def _llama3(frequency: float, scaling: dict[str, Any]) -> float:
    original, factor = scaling["original_max_position_embeddings"], scaling["factor"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    wavelength = 2 * math.pi / frequency
    if wavelength < original / high:
        return frequency
    if wavelength > original / low:
        return frequency / factor
    smooth = (original / wavelength - low) / (high - low)
    return (1 - smooth) * frequency / factor + smooth * frequency


def _rotate(rows: Tensor, turns: Tensor) -> Tensor:
    half = rows.shape[-1] // 2
    turned = torch.complex(rows[:, :half], rows[:, half:]) * turns
    return torch.cat((turned.real, turned.imag), -1)
