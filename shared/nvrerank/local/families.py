"""Architectures that are computed here, faster than by the reference. Adding one is adding a record.

A family is chosen only for a folder which asks for exactly what it computes; every other one goes through
sentence-transformers (`reference`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from nvrerank.errors import MissingExtraError, ModelLoadError
from nvrerank.models import NVIDIA_PROMPT

from . import architectures
from .attention import Packing
from .checkpoint import Checkpoint
from .config import Config
from .prompt import PairEncoder, PromptEncoder, TemplateEncoder, TokenPair, TwoInputEncoder
from .quantized import quantize
from .saved import Saved
from .saved_tokenizer import SavedTokenizer
from .settings import Settings


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
    """An architecture with a fast path of our own.

    Attributes:
        build: The module, from config.json and the tensors' shapes; called on the meta device.
        encoder: The prompt or template its tokenizer needs.
        forward: How the module is called for a batch.
        context: Tokens it reads.
        body: What the names of its layers begin with: what `quantize` makes smaller.
        head: Regular expression of the tensors behind the layers, which stay float32: half precision ties.
        not_needed: Regular expression of tensors that checkpoints of it hold and scoring doesn't need.
        marks: Names that config.json must have for it to be this family at all.
        twin: The tensor of the head in transformers' own class of the same function; "": it has none.
        asks: Values of config.json with which both compute the same; absent is the class's own default.
        offset: Whether positions are counted from the padding token's id.
    """

    build: Callable[[Checkpoint, int | str | None], nn.Module]
    encoder: Callable[[Checkpoint, SavedTokenizer], PairEncoder]
    forward: Callable[[nn.Module, torch.device, Sequence[TokenPair]], Tensor]
    context: Callable[[Config], int]
    body: str
    head: str
    not_needed: str = ""
    marks: tuple[str, ...] = ()
    twin: str = ""
    asks: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    offset: bool = False

    def computes(self, checkpoint: Checkpoint, saved: Saved) -> bool:
        """Whether weights and settings ask for exactly this function."""
        config = checkpoint.config
        known = not self.twin and len(saved.modules) <= 1 and saved.prompt is None  # NVIDIA's own prompt
        return (
            (saved.plain or known)
            and all(config.values.get(name) is not None for name in self.marks)
            and all(config.means(name, *allowed) for name, allowed in self.asks.items())
            and checkpoint.shapes.get(self.twin, (1,))[0] == 1
        )

    def reads(self, config: Config, tokenizer: SavedTokenizer) -> bool:
        """Whether the tokenizer's input is what this family takes: no chat, and no padding inside a text."""
        padding = (None, config.values.get("pad_token_id", 1))
        return not self.twin or not (tokenizer.chats or (self.offset and tokenizer.pad not in padding))

    def load(
        self,
        checkpoint: Checkpoint,
        tokenizer: SavedTokenizer,
        settings: Settings,
    ) -> LoadedModel:
        """Builds the module without memory, checks everything, then reads the weights.

        Raises:
            ModelLoadError: The checkpoint doesn't fit the architecture.
        """
        config = checkpoint.config
        with torch.device("meta"):
            module = self.build(checkpoint, settings.label)
        encoder = self.encoder(checkpoint, tokenizer)
        layers = config.size("num_hidden_layers")
        skip = partial(_is_not_needed, pattern=self.not_needed, layers=layers)
        exact = partial(_matches, self.head)
        checkpoint.fill(module, dtype=settings.dtype, device=settings.device, not_needed=skip, exact=exact)
        if settings.quantize:
            quantize(module, self.body)
        return LoadedModel(
            encoder,
            min(self.context(config), tokenizer.longest),
            partial(self.forward, module, settings.device),
        )


def find_family(checkpoint: Checkpoint, saved: Saved) -> Family | None:
    """The fast path that computes what a folder asks for; None: the reference may.

    Raises:
        ModelLoadError: There is no model_type.
    """
    model_type = checkpoint.config.values.get("model_type")
    if not isinstance(model_type, str):
        wrong = checkpoint.config.wrong("model_type", "the name of an architecture")
        raise ModelLoadError(f"{wrong}{checkpoint.config.own_code}")
    family = FAMILIES.get(model_type)
    return family if family is not None and family.computes(checkpoint, saved) else None


def _matches(pattern: str, name: str) -> bool:
    return re.fullmatch(pattern, name) is not None


def _is_not_needed(name: str, *, pattern: str, layers: int) -> bool:
    beyond = re.fullmatch(r"model\.layers\.(\d+)\..+", name)
    return bool(re.fullmatch(pattern, name)) or (beyond is not None and int(beyond[1]) >= layers)


def _one_sequence(module: nn.Module, device: torch.device, batch: Sequence[TokenPair]) -> Tensor:
    return module(_ids(batch, device), _packing(batch, device))  # type: ignore[no-any-return]


def _typed_sequence(module: nn.Module, device: torch.device, batch: Sequence[TokenPair]) -> Tensor:
    types = [kind for pair in batch for kind in pair.types or bytes(len(pair.ids))]
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


def _template(checkpoint: Checkpoint, tokenizer: SavedTokenizer) -> PairEncoder:
    config = checkpoint.config
    typed = tokenizer.types(config.file, config.size("type_vocab_size", 2))
    return TemplateEncoder(tokenizer.backend, typed=typed, side=tokenizer.side)


def _nvidia(context: int, *marks: str) -> Family:
    return Family(
        build=architectures.decoder,
        encoder=lambda _, tokenizer: PromptEncoder(tokenizer.backend, NVIDIA_PROMPT),
        forward=_one_sequence,
        context=lambda config: min(context, config.size("max_position_embeddings", context)),
        body="model.layers.",
        head=r"score\..*",
        not_needed=r"lm_head\.weight|.*\.rotary_emb\.inv_freq",
        marks=marks,
    )


def _encoder_asks(architecture: str) -> dict[str, tuple[object, ...]]:
    return {
        "architectures": ([architecture],),
        "hidden_act": ("gelu",),
        "position_embedding_type": ("absolute",),
        "is_decoder": (False,),
        "add_cross_attention": (False,),
        "pruned_heads": ({},),
    }


def _roberta(architecture: str) -> Family:
    return Family(
        build=architectures.roberta,
        encoder=_template,
        forward=_typed_sequence,
        context=lambda config: config.size("max_position_embeddings") - architectures.first_position(config),
        body="roberta.encoder.",
        head=r"classifier\..*",
        not_needed=r"roberta\.embeddings\.position_ids|roberta\.pooler\.dense\.(weight|bias)",
        twin="classifier.out_proj.weight",
        asks=_encoder_asks(architecture),
        offset=True,
    )


_BERT = Family(
    build=architectures.bert,
    encoder=_template,
    forward=_typed_sequence,
    context=lambda config: config.size("max_position_embeddings"),
    body="bert.encoder.",
    head=r"classifier\..*|bert\.pooler\..*",
    not_needed=r"bert\.embeddings\.position_ids",
    twin="classifier.weight",
    asks=_encoder_asks("BertForSequenceClassification"),
)
_TWO_SEGMENT = Family(
    build=architectures.two_segment,
    encoder=lambda _, tokenizer: TwoInputEncoder(tokenizer.backend),
    forward=_two_inputs,
    context=lambda config: config.size("max_position_embeddings"),
    body="layers.",
    head=r"(weights|mix_up|mix_down|head)\b.*",
)

FAMILIES = {
    "llama": _nvidia(8192, "pooling"),
    "llama_bidirec": _nvidia(8192),
    "mistral": _nvidia(512, "pooling"),
    "mistralbidirectional": _nvidia(512),
    "bert": _BERT,
    "roberta": _roberta("RobertaForSequenceClassification"),
    "xlm-roberta": _roberta("XLMRobertaForSequenceClassification"),
    "nvrerank_two_segment": _TWO_SEGMENT,
}


def load_model(
    checkpoint: Checkpoint, saved: Saved, settings: Settings, *, name: str, progress: bool
) -> LoadedModel:
    """Loads a folder by its fast path, or through the reference.

    Raises:
        MissingExtraError: It needs sentence-transformers, which is not installed.
        ModelLoadError: Neither can compute what its files ask for; the message names the file.
    """
    family = find_family(checkpoint, saved)
    if family is not None:
        tokenizer = checkpoint.tokenizer(checkpoint.config.size("vocab_size"))
        if family.reads(checkpoint.config, tokenizer):
            return family.load(checkpoint, tokenizer, settings)
    try:
        from .reference.loading import load_reference
    except ImportError as error:
        raise MissingExtraError(
            f"this model needs sentence-transformers 6.2 or later ({error}): pip install 'nvrerank[local]'"
        ) from error
    return load_reference(checkpoint, saved, settings, name=name, progress=progress)
