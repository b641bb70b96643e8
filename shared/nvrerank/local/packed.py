"""NVIDIA's Llama and Mistral rerankers: a bidirectional decoder over packed sequences.

Source: the model cards and config.json of nvidia/llama-nemotron-rerank-1b-v2. The module's names
are the checkpoint's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import Packing, attend
from .config import Labels


@dataclass(frozen=True)
class RopeScaling:
    """Llama 3's scaling of rotary frequencies (config.json: rope_type "llama3")."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int


@dataclass(frozen=True)
class DecoderConfig:
    """The sizes of a decoder, which tokens see which, and what its score is divided by."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float
    rope_scaling: RopeScaling | None
    temperature: float
    labels: Labels
    causal: bool = False


class PackedDecoder(nn.Module):
    """Body, mean over the tokens, linear head; the logit is divided by the temperature."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.model = _Body(config)
        self.score = nn.Linear(config.hidden_size, config.labels.count, bias=False)

    def forward(self, ids: Tensor, packing: Packing) -> Tensor:
        """Scores packed sequences.

        Args:
            ids: Token ids, sequences end to end: [tokens]
            packing: Where the sequences lie.

        Returns:
            Raw logits, float32: [sequences]
        """
        pooled = packing.means(self.model(ids, packing))  # [sequences, hidden], float32
        labels = functional.linear(pooled, self.score.weight.float())  # [sequences, labels]
        return self.config.labels.logit(labels) / self.config.temperature


class _Body(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(self, ids: Tensor, packing: Packing) -> Tensor:
        if self.config.causal:
            packing = replace(packing, causal=True)
        hidden = self.embed_tokens(ids)  # [tokens, hidden]
        turns = rotations(self.config, packing.positions, hidden.dtype)
        for layer in self.layers:
            hidden = layer(hidden, turns, packing)
        return self.norm(hidden)  # type: ignore[no-any-return]


class _Layer(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.self_attn = _Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.mlp = _Mlp(config)

    def forward(self, hidden: Tensor, turns: tuple[Tensor, Tensor], packing: Packing) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), turns, packing)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))  # type: ignore[no-any-return]


class _Attention(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.size = config.head_dim
        inner, shared = (
            heads * self.size for heads in (config.num_attention_heads, config.num_key_value_heads)
        )
        self.q_proj = nn.Linear(config.hidden_size, inner, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, shared, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, shared, bias=False)
        self.o_proj = nn.Linear(inner, config.hidden_size, bias=False)

    def forward(self, hidden: Tensor, turns: tuple[Tensor, Tensor], packing: Packing) -> Tensor:
        query, key, value = (
            project(hidden).unflatten(-1, (-1, self.size))  # [tokens, heads, size]
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = attend(_rotate(query, turns), _rotate(key, turns), value, packing)
        return self.o_proj(mixed)  # type: ignore[no-any-return]


class _Mlp(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        gated = functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden)
        return self.down_proj(gated)  # type: ignore[no-any-return]


def rotations(config: DecoderConfig, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every token's rotation: [tokens, 1, head size] each."""
    angles = positions[:, None].float() * frequencies(config).to(positions.device)  # [tokens, size / 2]
    angles = torch.cat((angles, angles), dim=-1)[:, None]
    return angles.cos().to(dtype), angles.sin().to(dtype)


def frequencies(config: DecoderConfig) -> Tensor:
    """Rotary frequencies in radians a token, Llama 3's scaling applied: [head size / 2].

    Wavelengths above original / low_freq_factor are stretched by `factor`, those below
    original / high_freq_factor stay, those between are blended.
    """
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
    plain = config.rope_theta**-exponents
    scaling = config.rope_scaling
    if scaling is None:
        return plain.float()
    turns = scaling.original_max_position_embeddings * plain / (2 * math.pi)
    span = scaling.high_freq_factor - scaling.low_freq_factor
    kept = ((turns - scaling.low_freq_factor) / span).clamp(0, 1)
    return (kept * plain + (1 - kept) * plain / scaling.factor).float()


def _rotate(rows: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    cosine, sine = turns
    low, high = rows.chunk(2, dim=-1)
    return rows * cosine + torch.cat((-high, low), dim=-1) * sine
