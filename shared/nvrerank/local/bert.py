"""BERT and RoBERTa cross-encoders over packed sequences. The modules' names are the checkpoints'."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import Packing, attend


@dataclass(frozen=True)
class EncoderConfig:
    """The sizes of an encoder; `first_position` is 0 for BERT and padding id + 1 for RoBERTa."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    first_position: int = 0


class BertReranker(nn.Module):
    """BERT, its pooler and one label (BertForSequenceClassification's names)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.bert = _Body(config)
        self.bert.pooler = _Pooler(config)
        self.classifier = nn.Linear(config.hidden_size, 1)

    def forward(self, ids: Tensor, types: Tensor, packing: Packing) -> Tensor:
        """Scores packed pairs.

        Args:
            ids: Token ids, sequences end to end: [tokens]
            types: 0 for the query's tokens, 1 for the passage's: [tokens]
            packing: Where the sequences lie.

        Returns:
            Raw logits, float32: [sequences]
        """
        first = self.bert(ids, types, packing)  # [sequences, hidden]
        exact = first.to(self.classifier.weight.dtype)  # of the head and the pooler: half precision ties
        return self.classifier(self.bert.pooler(exact))[:, 0].float()  # type: ignore[no-any-return]


class RobertaReranker(nn.Module):
    """RoBERTa or XLM-R and its head of one label (RobertaForSequenceClassification's names)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.roberta = _Body(config)
        self.classifier = _Head(config)

    def forward(self, ids: Tensor, types: Tensor, packing: Packing) -> Tensor:
        """Scores packed pairs; arguments and result as `BertReranker.forward`."""
        first = self.roberta(ids, types, packing)  # [sequences, hidden]
        exact = first.to(self.classifier.dense.weight.dtype)
        return self.classifier(exact)[:, 0].float()  # type: ignore[no-any-return]


class _Body(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.encoder = _Layers(config)
        self.pooler: nn.Module  # BERT's own

    def forward(self, ids: Tensor, types: Tensor, packing: Packing) -> Tensor:
        hidden: Tensor = self.embeddings(ids, types, packing)  # [tokens, hidden]
        *layers, last = self.encoder.layer
        for layer in layers:
            hidden = layer(hidden, packing)
        return last(hidden, packing, first_only=True)  # type: ignore[no-any-return]  # [sequences, hidden]


class _Layers(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))


class _Embeddings(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.first_position = config.first_position
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, ids: Tensor, types: Tensor, packing: Packing) -> Tensor:
        hidden = self.word_embeddings(ids) + self.token_type_embeddings(types)
        hidden = hidden + self.position_embeddings(packing.positions + self.first_position)
        return self.LayerNorm(hidden)  # type: ignore[no-any-return]


class _Layer(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {"self": _Attention(config), "output": _Output(config.hidden_size, config)}
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(config.hidden_size, config.intermediate_size)})
        self.output = _Output(config.intermediate_size, config)

    def forward(self, hidden: Tensor, packing: Packing, *, first_only: bool = False) -> Tensor:
        mixed = self.attention["self"](hidden, packing, first_only=first_only)
        hidden = self.attention["output"](mixed, hidden[packing.first_tokens] if first_only else hidden)
        wide = functional.gelu(self.intermediate["dense"](hidden))  # [tokens, intermediate]
        return self.output(wide, hidden)  # type: ignore[no-any-return]


class _Attention(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, packing: Packing, *, first_only: bool) -> Tensor:
        """All tokens are seen; with `first_only` each sequence's first alone asks: a head reads no other."""
        rows, asking = (hidden[packing.first_tokens], packing.firsts) if first_only else (hidden, packing)
        query, key, value = (
            project(seen).unflatten(-1, (self.heads, -1))  # [rows or tokens, heads, size]
            for project, seen in ((self.query, rows), (self.key, hidden), (self.value, hidden))
        )
        return attend(query, key, value, packing, asking=asking)


class _Output(nn.Module):
    def __init__(self, width: int, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, wide: Tensor, hidden: Tensor) -> Tensor:
        return self.LayerNorm(hidden + self.dense(wide))  # type: ignore[no-any-return]


class _Pooler(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, first: Tensor) -> Tensor:
        return torch.tanh(self.dense(first))


class _Head(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, 1)

    def forward(self, first: Tensor) -> Tensor:
        return self.out_proj(torch.tanh(self.dense(first)))  # type: ignore[no-any-return]
