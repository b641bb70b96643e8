"""BERT and RoBERTa cross-encoders over packed sequences. The modules' names are the checkpoints'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .checkpoint import MOST_LAYERS, Config, Labels
from .layers import GeluLinear, Linear, Packing, Reranker, attend, pack, placed
from .tokenization import TokenPair


class BertReranker(Reranker):
    """BERT, its pooler and one label (BertForSequenceClassification's names)."""

    def __init__(self, config: Config, _labels: Labels) -> None:
        super().__init__()
        self.bert = _Body(config, first_position=0)
        self.bert.pooler = _Dense(config)
        self.classifier = nn.Linear(config.size("hidden_size"), 1)
        self.context = self.bert.context

    def logits(self, batch: Sequence[TokenPair]) -> Tensor:
        """As promised by `Reranker`."""
        exact = self.bert(batch).to(self.classifier.weight.dtype)  # pooler and head: half precision ties
        return self.classifier(self.bert.pooler(exact))[:, 0].float()  # type: ignore[no-any-return]


class RobertaReranker(Reranker):
    """RoBERTa or XLM-R and its head of one label (RobertaForSequenceClassification's names).

    Positions are counted from the one after the padding token's id.
    """

    def __init__(self, config: Config, _labels: Labels) -> None:
        super().__init__()
        padding = 0 if config.values.get("pad_token_id") == 0 else config.size("pad_token_id", 1)
        self.roberta = _Body(config, first_position=padding + 1)
        self.classifier = _Head(config)
        self.context = self.roberta.context

    def logits(self, batch: Sequence[TokenPair]) -> Tensor:
        """As promised by `Reranker`."""
        exact = self.roberta(batch).to(self.classifier.dense.weight.dtype)
        return self.classifier(exact)[:, 0].float()  # type: ignore[no-any-return]


class _Body(nn.Module):
    pooler: nn.Module  # BERT's own

    def __init__(self, config: Config, *, first_position: int) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config, first_position)
        layers = config.size("num_hidden_layers", at_most=MOST_LAYERS)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(_Layer(config) for _ in range(layers))})
        self.context = config.size("max_position_embeddings") - first_position
        if self.context < 1:
            raise config.wrong("max_position_embeddings", f"above {first_position}")

    def forward(self, batch: Sequence[TokenPair]) -> Tensor:
        """What each pair's first token becomes: [pairs, hidden]."""
        ids, packing = pack(batch, self.embeddings.word_embeddings.weight)  # [tokens + spare]
        typed = [kind for pair in batch for kind in pair.types or bytes(len(pair.ids))]
        types = placed(torch.tensor(typed + [0] * packing.spare), ids.device)
        hidden: Tensor = self.embeddings(ids, types, packing)  # [tokens, hidden]
        layers: Any = self.encoder["layer"]
        for layer in layers[:-1]:
            hidden = layer(hidden, packing)
        return layers[-1](hidden, packing, first_only=True)[: len(batch)]  # type: ignore[no-any-return]


class _Embeddings(nn.Module):
    def __init__(self, config: Config, first_position: int) -> None:
        super().__init__()
        hidden = config.size("hidden_size")
        self.first_position = first_position
        self.word_embeddings = nn.Embedding(config.size("vocab_size"), hidden)
        self.position_embeddings = nn.Embedding(config.size("max_position_embeddings"), hidden)
        self.token_type_embeddings = nn.Embedding(config.size("type_vocab_size", 2), hidden)
        self.LayerNorm = _norm(config)

    def forward(self, ids: Tensor, types: Tensor, packing: Packing) -> Tensor:
        exact = self.LayerNorm.weight.dtype  # as all of the residual stream
        hidden = self.word_embeddings(ids).to(exact) + self.token_type_embeddings(types)
        hidden = hidden + self.position_embeddings(packing.positions + self.first_position)
        return self.LayerNorm(hidden)  # type: ignore[no-any-return]


class _Layer(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        hidden, wide = config.size("hidden_size"), config.size("intermediate_size")
        self.attention = nn.ModuleDict({"self": _Attention(config), "output": _Output(hidden, config)})
        self.intermediate = nn.ModuleDict({"dense": GeluLinear(hidden, wide)})
        self.output = _Output(wide, config)

    def forward(self, hidden: Tensor, packing: Packing, *, first_only: bool = False) -> Tensor:
        mixed = self.attention["self"](hidden, packing, first_only=first_only)
        hidden = self.attention["output"](mixed, hidden[packing.first_tokens] if first_only else hidden)
        wide = self.intermediate["dense"](hidden)  # [tokens, intermediate]
        return self.output(wide, hidden)  # type: ignore[no-any-return]


class _Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        hidden, self.heads = config.size("hidden_size"), config.size("num_attention_heads")
        if hidden % self.heads:
            raise config.wrong("num_attention_heads", f"a divisor of hidden_size {hidden}")
        self.query, self.key, self.value = (Linear(hidden, hidden) for _ in range(3))

    def forward(self, hidden: Tensor, packing: Packing, *, first_only: bool) -> Tensor:
        """All tokens are seen; with `first_only` each sequence's first alone asks: a head reads no other."""
        hidden = hidden.to(self.query.takes)
        rows, asking = (hidden[packing.first_tokens], packing.firsts) if first_only else (hidden, packing)
        query, key, value = (
            project(seen).unflatten(-1, (self.heads, -1))  # [rows or tokens, heads, size]
            for project, seen in ((self.query, rows), (self.key, hidden), (self.value, hidden))
        )
        return attend(query, key, value, packing, asking=asking)


class _Output(nn.Module):
    def __init__(self, width: int, config: Config) -> None:
        super().__init__()
        self.dense = Linear(width, config.size("hidden_size"))
        self.LayerNorm = _norm(config)

    def forward(self, wide: Tensor, hidden: Tensor) -> Tensor:
        return self.LayerNorm(hidden + self.dense(wide))  # type: ignore[no-any-return]


class _Dense(nn.Module):
    """BERT's pooler."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.size("hidden_size"), config.size("hidden_size"))

    def forward(self, first: Tensor) -> Tensor:
        return torch.tanh(self.dense(first))


class _Head(_Dense):
    """RoBERTa's."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.out_proj = nn.Linear(config.size("hidden_size"), 1)

    def forward(self, first: Tensor) -> Tensor:
        return self.out_proj(super().forward(first))  # type: ignore[no-any-return]


def _norm(config: Config) -> nn.LayerNorm:
    return nn.LayerNorm(config.size("hidden_size"), eps=config.positive("layer_norm_eps", 1e-12))
