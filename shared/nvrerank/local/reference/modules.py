"""How modules of sentence-transformers are called for a batch, and what is changed in them before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import torch
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from torch import Tensor, nn

from nvrerank.errors import ModelLoadError
from nvrerank.local.config import LARGEST, Config, Labels
from nvrerank.local.prompt import TokenPair
from nvrerank.local.quantized import quantize

Together = Literal["padded", "length", "alone"]
_PADDED = {  # a mask keeps padding out of every sum; held against single pairs by a test
    *(
        "albert",
        "bert",
        "camembert",
        "data2vec-text",
        "deberta",
        "deberta-v2",
        "distilbert",
        "electra",
        "ernie",
    ),
    *("gemma", "gemma2", "gemma3_text", "llama", "mistral", "modernbert", "mpnet", "phi3", "qwen2", "qwen3"),
    *("rembert", "roberta", "xlm-roberta", "xlm-roberta-xl"),
}


@dataclass(frozen=True)
class ReferenceModel:
    """Modules one after another, as a CrossEncoder calls them.

    Attributes:
        modules: The transformer, and what follows it up to "scores".
        labels: Which of the scores counts.
        device: Where they are.
        together: Which pairs are computed at once: all, padded; those of one length; each alone.
        left: Whether padding stands in front, where the last token is read.
        modality: Under which the transformer looks up what to call.
    """

    modules: tuple[nn.Module, ...]
    labels: Labels
    device: torch.device
    together: Together
    left: bool
    modality: str

    def __call__(self, batch: Sequence[TokenPair]) -> Tensor:
        """Token ids of a batch to raw logits, float32: [pairs]."""
        keys: dict[Together, Callable[[int], int]] = {
            "padded": lambda _: 0,
            "length": lambda place: len(batch[place].ids),
            "alone": lambda place: place,
        }
        key = keys[self.together]
        groups = [list(group) for _, group in groupby(sorted(range(len(batch)), key=key), key=key)]
        logits = torch.cat([self._forward([batch[place] for place in group]) for group in groups])
        places = torch.tensor([place for group in groups for place in group], device=logits.device)
        return torch.empty_like(logits).index_copy_(0, places, logits)

    def _forward(self, batch: Sequence[TokenPair]) -> Tensor:
        features = self._features(batch)
        for module in self.modules:
            features = module(features)
        return self.labels.logit(features["scores"].float())  # from [pairs, labels]

    def _features(self, batch: Sequence[TokenPair]) -> dict[str, Any]:
        width = max(len(pair.ids) for pair in batch)
        transformer: Any = self.modules[0]

        def rows(each: Callable[[TokenPair], Sequence[int]], filler: int) -> Tensor:
            padded = []
            for pair in batch:
                row, rest = list(each(pair)), [filler] * (width - len(pair.ids))
                padded.append(rest + row if self.left else row + rest)
            return torch.tensor(padded, device=self.device)  # [pairs, width]

        mask = rows(lambda pair: [1] * len(pair.ids), 0)
        features: dict[str, Any] = {
            "input_ids": rows(lambda pair: pair.ids, transformer.config.pad_token_id or 0),
            "attention_mask": mask,
            "modality": self.modality,
        }
        if batch[0].types:
            features["token_type_ids"] = rows(lambda pair: pair.types, 0)
        if self.left:
            features["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
        return features


def together(model_type: str, pad: int | None, task: str) -> Together:
    """Which pairs may share a batch; a classifier without a padding token takes one at a time."""
    if pad is None and task == "sequence-classification":
        return "alone"
    return "padded" if model_type in _PADDED else "length"


def count_embeddings(transformer: Transformer) -> int:
    """How many token ids have an embedding."""
    model: Any = transformer.model
    try:
        return len(model.get_input_embeddings().weight)
    except NotImplementedError:  # CANINE hashes characters: every id has one
        return LARGEST


def count_labels(modules: Sequence[nn.Module]) -> int:
    """How many scores a pair has."""
    last = modules[-1]
    if isinstance(last, Transformer):
        return int(last.model.config.num_labels)
    return last.out_features if isinstance(last, Dense) else 1


def shrink_head(transformer: Transformer, answer: Sequence[int]) -> LogitScore:
    """Leaves of a head over the whole vocabulary the rows that the score is made of."""
    model: Any = transformer.model
    head = model.get_output_embeddings()
    bias = getattr(head, "bias", None)
    small = nn.Linear(head.weight.shape[1], len(answer), bias=bias is not None)
    small.weight = nn.Parameter(head.weight[list(answer)])
    if bias is not None:
        small.bias = nn.Parameter(bias[list(answer)])
    model.set_output_embeddings(small)
    return LogitScore(0, 1 if len(answer) > 1 else None)


def quantize_layers(transformer: Transformer, config: Config) -> None:
    """Puts 8-bit integers into the linear layers between embeddings and head.

    Raises:
        ModelLoadError: There are none.
    """
    model: Any = transformer.model
    base = model.base_model
    if not quantize(model, "" if base is model else f"{model.base_model_prefix}."):
        raise ModelLoadError(
            f"{config.file}: quantize='int8' finds no linear layers in this architecture: leave it out"
        )


def exact_heads(modules: Sequence[nn.Module]) -> None:
    """Lets everything behind the layers compute in float32: scores of half precision tie."""
    transformer: Any = modules[0]
    base = transformer.model.base_model
    for child in transformer.model.children() if base is not transformer.model else ():
        if child is not base:
            child.float()
    base.register_forward_hook(lambda _module, _given, output: _exact(output))
    if isinstance(pooler := getattr(base, "pooler", None), nn.Module):
        pooler.float().register_forward_pre_hook(lambda _module, given: _exact(given))
    for module in modules[1:]:
        module.float()


def _exact(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, tuple):
        return tuple(map(_exact, value))
    if isinstance(value, dict):  # an output of transformers
        for name, one in value.items():
            value[name] = _exact(one)
    return value
