"""NVIDIA's pooling for libraries that know only transformers' classes: the tokens' mean, not the last one."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    MistralConfig,
    MistralForSequenceClassification,
)
from transformers.modeling_outputs import SequenceClassifierOutput


class MeanPooling:
    """Another forward pass for a class of transformers: the same work, comparable scores."""

    model: Any
    score: Any

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_rest: Any
    ) -> SequenceClassifierOutput:
        """Logits: [sequences, labels]."""
        hidden = self.model(input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
        real = attention_mask[:, :, None].to(hidden.dtype)  # [sequences, tokens, 1]
        return SequenceClassifierOutput(logits=self.score((hidden * real).sum(1) / real.sum(1)))


def register() -> None:
    """Makes the automatic classes build these."""
    for config, base in (
        (LlamaConfig, LlamaForSequenceClassification),
        (MistralConfig, MistralForSequenceClassification),
    ):
        mean = type(f"Mean{base.__name__}", (MeanPooling, base), {})
        AutoModelForSequenceClassification.register(config, mean, exist_ok=True)
