"""NVIDIA's Llama and Mistral rerankers: a bidirectional decoder over packed sequences.

Source: the model cards and config.json of nvidia/llama-nemotron-rerank-1b-v2. The modules' names are the
checkpoint's; each reads its sizes from config.json, and refuses what means another computation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .checkpoint import LARGEST, MOST_LAYERS, Config, Labels
from .layers import Linear, Packing, Reranker, attend, pack, placed
from .tokenization import TokenPair


class PackedDecoder(Reranker):
    """Body, mean over the tokens, linear head; the logit is divided by the temperature."""

    def __init__(self, config: Config, labels: Labels) -> None:
        super().__init__()
        for name, *allowed in (
            *(("attention_bias", False), ("mlp_bias", False), ("hidden_act", "silu")),
            *(("pooling", "avg", "mean"), ("is_causal", True, False)),
        ):
            config.expect(str(name), *allowed)
        self.context = config.size("max_position_embeddings", LARGEST)
        self._labels, self._temperature = labels, config.positive("temperature", 1.0)
        self._causal = config.values.get("is_causal") is True  # before the class's own habit
        self.model = _Body(config)
        self.score = nn.Linear(config.size("hidden_size"), labels.count, bias=False)

    def logits(self, batch: Sequence[TokenPair]) -> Tensor:
        """As promised by `Reranker`."""
        ids, packing = pack(batch, self.model.embed_tokens.weight, causal=self._causal)
        pooled = packing.means(self.model(ids, packing))  # [pairs, hidden], float32
        labels = functional.linear(pooled, self.score.weight.float())  # [pairs, labels]
        return self._labels.logit(labels) / self._temperature


class _Body(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        hidden, layers = config.size("hidden_size"), config.size("num_hidden_layers", at_most=MOST_LAYERS)
        self.embed_tokens = nn.Embedding(config.size("vocab_size"), hidden)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(layers))
        self.norm = _norm(config)
        self._rope = Rope(config, _head_size(config))

    def forward(self, ids: Tensor, packing: Packing) -> Tensor:
        embedded = self.embed_tokens(ids)  # [tokens, hidden]
        turns = self._rope.rotations(packing.positions, embedded.dtype)
        hidden = embedded.to(self.norm.weight.dtype)
        for layer in self.layers:
            hidden = layer(hidden, turns, packing)
        return self.norm(hidden)  # type: ignore[no-any-return]


class _Layer(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.input_layernorm = _norm(config)
        self.self_attn = _Attention(config)
        self.post_attention_layernorm = _norm(config)
        self.mlp = _Mlp(config)

    def forward(self, hidden: Tensor, turns: tuple[Tensor, Tensor], packing: Packing) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), turns, packing)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))  # type: ignore[no-any-return]


class _Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
        shared, self.size = config.size("num_key_value_heads", heads), _head_size(config)
        if heads % shared:
            raise config.wrong("num_attention_heads", f"a multiple of the {shared} key/value heads")
        self.q_proj = Linear(hidden, heads * self.size, bias=False)
        self.k_proj = Linear(hidden, shared * self.size, bias=False)
        self.v_proj = Linear(hidden, shared * self.size, bias=False)
        self.o_proj = Linear(heads * self.size, hidden, bias=False)

    def forward(self, hidden: Tensor, turns: tuple[Tensor, Tensor], packing: Packing) -> Tensor:
        hidden = hidden.to(self.q_proj.takes)
        query, key, value = (
            project(hidden).unflatten(-1, (-1, self.size))  # [tokens, heads, size]
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = attend(_rotate(query, turns), _rotate(key, turns), value, packing)
        return self.o_proj(mixed)  # type: ignore[no-any-return]


class _Mlp(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        hidden, wide = config.size("hidden_size"), config.size("intermediate_size")
        self.gate_proj = Linear(hidden, wide, bias=False)
        self.up_proj = Linear(hidden, wide, bias=False)
        self.down_proj = Linear(wide, hidden, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = hidden.to(self.gate_proj.takes)
        gated = functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden)
        return self.down_proj(gated)  # type: ignore[no-any-return]


class Rope:
    """Rotary positions; with "llama3" their frequencies are scaled.

    The settings are one section since transformers 5, spread over two places before.

    Args:
        config: config.json.
        size: Numbers in a head.
    """

    def __init__(self, config: Config, size: int) -> None:
        rope = config.section("rope_parameters") or config.section("rope_scaling") or Config(config.file, {})
        kind = rope.values.get("rope_type", rope.values.get("type", "default"))
        if kind not in ("default", "llama3"):
            raise rope.wrong("rope_type", "'llama3' or 'default'")
        self._size = size
        self._theta = rope.positive("rope_theta", config.positive("rope_theta", 1e4))
        self._scaled = kind == "llama3"
        if self._scaled:
            self._factor, self._low = rope.positive("factor"), rope.positive("low_freq_factor")
            self._span = rope.positive("high_freq_factor") - self._low
            self._original = rope.size("original_max_position_embeddings")
            if self._span <= 0:
                raise rope.wrong("high_freq_factor", "above low_freq_factor")

    def rotations(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and sine of every token's rotation: [tokens, 1, head size] each."""
        angles = positions[:, None].float() * placed(
            self._frequencies(), positions.device
        )  # [tokens, size / 2]
        angles = torch.cat((angles, angles), dim=-1)[:, None]
        return angles.cos().to(dtype), angles.sin().to(dtype)

    def _frequencies(self) -> Tensor:
        """In radians a token: [head size / 2].

        Llama 3's: wavelengths above original / low_freq_factor are stretched by `factor`, those below
        original / high_freq_factor stay, those between are blended.
        """
        plain = self._theta ** -(torch.arange(0, self._size, 2, dtype=torch.float64) / self._size)
        if not self._scaled:
            return plain.float()
        kept = ((self._original * plain / (2 * math.pi) - self._low) / self._span).clamp(0, 1)
        return (kept * plain + (1 - kept) * plain / self._factor).float()


def _norm(config: Config) -> nn.RMSNorm:
    return nn.RMSNorm(config.size("hidden_size"), eps=config.positive("rms_norm_eps"))


def _head_size(config: Config) -> int:
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    size = config.size("head_dim", max(1, hidden // heads))
    if size % 2:
        raise config.wrong("head_dim", "even")
    return size


def _rotate(rows: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    cosine, sine = turns
    low, high = rows.chunk(2, dim=-1)
    return rows * cosine + torch.cat((-high, low), dim=-1) * sine
