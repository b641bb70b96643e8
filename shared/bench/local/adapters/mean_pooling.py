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


class _Mean:
    """A transformers class with another forward pass: the same work, comparable scores."""

    model: Any
    score: Any

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **_rest: Any,
    ) -> SequenceClassifierOutput:
        """Logits: [sequences, labels]."""
        hidden = self.model(input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
        if attention_mask is None:
            pooled = hidden.mean(1)
        else:
            real = attention_mask[:, :, None].to(hidden.dtype)  # [sequences, tokens, 1]
            pooled = (hidden * real).sum(1) / real.sum(1)
        return SequenceClassifierOutput(logits=self.score(pooled))


class MeanLlama(_Mean, LlamaForSequenceClassification):  # type: ignore[no-untyped-call]
    """Llama."""


class MeanMistral(_Mean, MistralForSequenceClassification):  # type: ignore[no-untyped-call]
    """Mistral."""


def register() -> None:
    """Makes the automatic classes build these."""
    AutoModelForSequenceClassification.register(LlamaConfig, MeanLlama, exist_ok=True)
    AutoModelForSequenceClassification.register(MistralConfig, MeanMistral, exist_ok=True)
