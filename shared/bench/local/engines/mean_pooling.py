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
    PreTrainedConfig,
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


_CLASSES: dict[type[PreTrainedConfig], Any] = {
    config: type(f"Mean{base.__name__}", (MeanPooling, base), {})
    for config, base in (
        (LlamaConfig, LlamaForSequenceClassification),
        (MistralConfig, MistralForSequenceClassification),
    )
}


def class_for(config: PreTrainedConfig) -> Any:
    """The class that reads a checkpoint with this configuration; transformers' own for encoders."""
    return _CLASSES.get(type(config), AutoModelForSequenceClassification)


def register() -> None:
    """Makes transformers' automatic classes build these, in this process for good."""
    for config, mean in _CLASSES.items():
        AutoModelForSequenceClassification.register(config, mean, exist_ok=True)
