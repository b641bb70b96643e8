"""Which architecture a config.json's model_type means. Adding one is adding a record."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from nvrerank.models import NVIDIA_PROMPT

from . import architectures
from .attention import Packing
from .checkpoint import Checkpoint
from .config import Config
from .prompt import PairEncoder, PromptEncoder, TemplateEncoder, TokenPair, TwoInputEncoder
from .quantized import quantize


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to score.

    Attributes:
        encoder: Texts to token ids.
        context: Tokens of query and passage together that it reads.
        forward: Token ids of a batch to raw logits, float32: [pairs]
    """

    encoder: PairEncoder
    context: int
    forward: Callable[[Sequence[TokenPair]], Tensor]


@dataclass(frozen=True)
class Family:
    """An architecture.

    Attributes:
        build: The module, from config.json and the tensors' shapes; called on the meta device.
        encoder: The prompt or template its tokenizer needs.
        forward: How the module is called for a batch.
        context: Tokens it reads.
        body: What the names of its layers begin with: what `quantize` makes smaller.
        not_needed: Regular expression of tensors that checkpoints of it hold and scoring doesn't need.
    """

    build: Callable[[Checkpoint], nn.Module]
    encoder: Callable[[Tokenizer], PairEncoder]
    forward: Callable[[nn.Module, torch.device, Sequence[TokenPair]], Tensor]
    context: Callable[[Config], int]
    body: str
    not_needed: str = ""

    def load(
        self, checkpoint: Checkpoint, *, dtype: torch.dtype, device: torch.device, int8: bool
    ) -> LoadedModel:
        """Builds the module without memory, checks everything, then reads the weights.

        Raises:
            ModelLoadError: The checkpoint doesn't fit the architecture.
        """
        with torch.device("meta"):
            module = self.build(checkpoint)
        encoder = self.encoder(checkpoint.tokenizer(checkpoint.config.size("vocab_size")))
        layers = checkpoint.config.size("num_hidden_layers")
        skip = partial(_is_not_needed, pattern=self.not_needed, layers=layers)
        checkpoint.fill(module, dtype=dtype, device=device, not_needed=skip)
        if int8:
            quantize(module, self.body)
        return LoadedModel(encoder, self.context(checkpoint.config), partial(self.forward, module, device))


def find_family(config: Config) -> Family | None:
    """The family of a config.json; None: transformers may know it.

    Raises:
        ModelLoadError: There is no model_type.
    """
    model_type = config.values.get("model_type")
    if not isinstance(model_type, str):
        raise config.wrong("model_type", "the name of an architecture")
    family = FAMILIES.get(model_type)
    unusual = config.values.get("hidden_act", "gelu") != "gelu" or (
        config.values.get("position_embedding_type", "absolute") != "absolute"
    )
    return None if family in (_BERT, _ROBERTA) and unusual else family


def _is_not_needed(name: str, *, pattern: str, layers: int) -> bool:
    beyond = re.fullmatch(r"model\.layers\.(\d+)\..+", name)
    return bool(re.fullmatch(pattern, name)) or (beyond is not None and int(beyond[1]) >= layers)


def _one_sequence(module: nn.Module, device: torch.device, batch: Sequence[TokenPair]) -> Tensor:
    return module(_ids(batch, device), _packing(batch, device))  # type: ignore[no-any-return]


def _typed_sequence(module: nn.Module, device: torch.device, batch: Sequence[TokenPair]) -> Tensor:
    types = [int(place >= pair.split) for pair in batch for place in range(len(pair.ids))]
    return module(  # type: ignore[no-any-return]
        _ids(batch, device), torch.tensor(types, device=device), _packing(batch, device)
    )


def _two_inputs(module: nn.Module, _device: torch.device, batch: Sequence[TokenPair]) -> Tensor:
    return module(  # type: ignore[no-any-return]
        [(pair.ids[: pair.split], pair.ids[pair.split :]) for pair in batch]
    )


def _ids(batch: Sequence[TokenPair], device: torch.device) -> Tensor:
    return torch.tensor([token for pair in batch for token in pair.ids], device=device)  # [tokens], int64


def _packing(batch: Sequence[TokenPair], device: torch.device) -> Packing:
    return Packing([len(pair.ids) for pair in batch], device)


def _nvidia(context: int) -> Family:
    return Family(
        build=architectures.decoder,
        encoder=partial(PromptEncoder, prompt=NVIDIA_PROMPT),
        forward=_one_sequence,
        context=lambda config: min(context, config.size("max_position_embeddings", context)),
        body="model.layers.",
        not_needed=r"lm_head\.weight|.*\.rotary_emb\.inv_freq",
    )


_LLAMA = _nvidia(context=8192)
_MISTRAL = _nvidia(context=512)
_BERT = Family(
    build=architectures.bert,
    encoder=TemplateEncoder,
    forward=_typed_sequence,
    context=lambda config: config.size("max_position_embeddings"),
    body="bert.encoder.",
    not_needed=r"bert\.embeddings\.position_ids",
)
_ROBERTA = Family(
    build=architectures.roberta,
    encoder=TemplateEncoder,
    forward=_typed_sequence,
    context=lambda config: config.size("max_position_embeddings") - architectures.first_position(config),
    body="roberta.encoder.",
    not_needed=r"roberta\.embeddings\.position_ids|roberta\.pooler\.dense\.(weight|bias)",
)
_TWO_SEGMENT = Family(
    build=architectures.two_segment,
    encoder=TwoInputEncoder,
    forward=_two_inputs,
    context=lambda config: config.size("max_position_embeddings"),
    body="layers.",
)

FAMILIES = {
    "llama": _LLAMA,
    "llama_bidirec": _LLAMA,
    "mistral": _MISTRAL,
    "mistralbidirectional": _MISTRAL,
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "nvrerank_two_segment": _TWO_SEGMENT,
}
