"""Architectures that are computed here, faster than by the reference: to add one is to add a record.

A family is chosen only for a folder which asks for exactly what it computes; every other one goes through
sentence-transformers (`transformers_model`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from nvrerank.errors import MissingExtraError
from nvrerank.models import NVIDIA_PROMPT

from .bert import BertReranker, RobertaReranker
from .bundled.network import TwoSegmentConfig, TwoSegmentEncoder
from .checkpoint import LARGEST, Checkpoint, Config, Labels
from .decoder import PackedDecoder
from .layers import LoadedModel, Reranker, pack_linear, quantize
from .listwise import ARCHITECTURE, load_listwise
from .prompts import PromptEncoder
from .saved import Saved
from .settings import LocalSettings
from .tokenization import PairEncoder, SavedTokenizer, TemplateEncoder, TwoInputEncoder


@dataclass(frozen=True)
class Family:
    """An architecture with a fast path of our own.

    Attributes:
        build: The module, from config.json; called on the meta device, where it takes no memory.
        encoder: The prompt or template its tokenizer needs.
        body: What the names of its layers begin with: what `quantize` makes smaller.
        head: Regular expression of the tensors that stay float32: those behind the layers, where half
            precision ties, and the norms, whose type the residual stream has.
        classifier: The head's last tensor, a row for each label.
        context: Most tokens it was made for.
        not_needed: Regular expression of tensors that checkpoints of it hold and scoring doesn't need.
        marks: Names that config.json must have for it to be this family at all.
        asks: Values of config.json with which transformers' class of the same function computes the same;
            absent is its own default. Empty: there is no such class.
        offset: Whether positions are counted from the padding token's id.
        within: What takes the part that is computed out of a larger model; None: it is all computed.
    """

    build: Callable[[Config, Labels], Reranker]
    encoder: Callable[[Config, SavedTokenizer], PairEncoder]
    body: str
    head: str
    classifier: str
    context: int = LARGEST
    not_needed: str = ""
    marks: tuple[str, ...] = ()
    asks: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    offset: bool = False
    within: Callable[[Checkpoint], Checkpoint] | None = None

    def computes(self, checkpoint: Checkpoint, saved: Saved) -> bool:
        """Whether weights and settings ask for exactly this function."""
        config = checkpoint.config
        known = not self.asks and len(saved.modules) <= 1 and saved.prompt is None  # NVIDIA's own prompt
        return (
            (saved.plain or known)
            and all(config.values.get(name) is not None for name in self.marks)
            and all(config.means(name, *allowed) for name, allowed in self.asks.items())
            and (not self.asks or self._labels(checkpoint) == 1)
        )

    def reads(self, config: Config, tokenizer: SavedTokenizer) -> bool:
        """Whether the tokenizer's input is what this family takes: no chat, and no padding inside a text."""
        padding = (None, config.values.get("pad_token_id", 1))
        return not self.asks or not (tokenizer.chats or (self.offset and tokenizer.pad not in padding))

    def load(self, checkpoint: Checkpoint, tokenizer: SavedTokenizer, settings: LocalSettings) -> LoadedModel:
        """Builds the module without memory, checks everything, then reads the weights.

        Raises:
            ModelLoadError: The checkpoint doesn't fit the architecture.
        """
        config = checkpoint.config
        with torch.device("meta"), _Undrawn():
            module = self.build(config, Labels.find(config, self._labels(checkpoint), settings.label))
        encoder = self.encoder(config, tokenizer)
        layers = config.size("num_hidden_layers")

        def not_needed(name: str) -> bool:
            beyond = re.fullmatch(r"model\.layers\.(\d+)\..+", name)
            unused = beyond is not None and int(beyond[1]) >= layers
            return unused or re.fullmatch(self.not_needed, name) is not None

        checkpoint.fill(
            module, dtype=settings.dtype, device=settings.device, exact=self.head, not_needed=not_needed
        )
        module.expand()
        if settings.quantize:
            quantize(module, self.body)
        else:
            pack_linear(module)
        return LoadedModel(encoder, min(self.context, module.context, tokenizer.longest), module.logits)

    def _labels(self, checkpoint: Checkpoint) -> int:
        return checkpoint.shapes.get(self.classifier, (1,))[0]


class _Undrawn(TorchFunctionMode):
    """Draws no first weights: on the meta device that loads torch's compiler, which takes a second."""

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Any = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return None
        return func(*args, **(kwargs or {}))


def _template(config: Config, tokenizer: SavedTokenizer) -> PairEncoder:
    typed = tokenizer.gives_types(config.file, config.size("type_vocab_size", 2))
    return TemplateEncoder(tokenizer.backend, typed=typed, side=tokenizer.side)


def _nvidia(context: int, *marks: str) -> Family:
    return Family(
        build=PackedDecoder,
        encoder=lambda _, tokenizer: PromptEncoder(tokenizer.backend, NVIDIA_PROMPT),
        body="model.layers.",
        head=r"score\..*|.*norm\.weight",
        classifier="score.weight",
        context=context,
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
        build=RobertaReranker,
        encoder=_template,
        body="roberta.encoder.",
        head=r"classifier\..*|.*\.LayerNorm\..*",
        classifier="classifier.out_proj.weight",
        not_needed=r"roberta\.embeddings\.position_ids|roberta\.pooler\.dense\.(weight|bias)",
        asks=_encoder_asks(architecture),
        offset=True,
    )


def _language_part(checkpoint: Checkpoint) -> Checkpoint:
    """NVIDIA's VL reranker without its eyes: of a text it computes what the Llama rerankers do.

    Source: configuration_ and processing_llama_nemotron_vl.py of nvidia/llama-nemotron-rerank-vl-1b-v2.
    """
    config = checkpoint.config
    config.expect("prompt_template", "v1")
    inner = config.section("llm_config")
    if inner is None:
        raise config.wrong("llm_config", "an object")
    inner.expect("model_type", "llama_bidirec")
    own = {name: config.values.get(name) for name in ("pooling", "temperature", "id2label", "problem_type")}
    return checkpoint.part(Config(config.file, {**inner.values, **own}), "model.language_model.", "model.")


FAMILIES = {
    "llama": _nvidia(8192, "pooling"),
    "llama_bidirec": _nvidia(8192),
    "llama_nemotron_vl_rerank": replace(
        _nvidia(8192, "pooling", "prompt_template"),
        within=_language_part,
        not_needed=r"model\.(vision_model|mlp1)\..*|lm_head\.weight|.*\.rotary_emb\.inv_freq",
    ),
    "mistral": _nvidia(512, "pooling"),
    "mistralbidirectional": _nvidia(512),
    "bert": Family(
        build=BertReranker,
        encoder=_template,
        body="bert.encoder.",
        head=r"classifier\..*|bert\.pooler\..*|.*\.LayerNorm\..*",
        classifier="classifier.weight",
        not_needed=r"bert\.embeddings\.position_ids",
        asks=_encoder_asks("BertForSequenceClassification"),
    ),
    "roberta": _roberta("RobertaForSequenceClassification"),
    "xlm-roberta": _roberta("XLMRobertaForSequenceClassification"),
    "nvrerank_two_segment": Family(
        build=lambda config, _: TwoSegmentEncoder.in_stored_form(TwoSegmentConfig.read(config)),
        encoder=lambda config, tokenizer: TwoInputEncoder.of(tokenizer.backend, config),
        body="layers.",
        head=r"(?!layers\.).*|.*norm\.(weight|bias)|.*\.scales",
        classifier="head.weight",
    ),
}


def find_family(checkpoint: Checkpoint, saved: Saved) -> Family | None:
    """The fast path that computes what a folder asks for; None: the reference may.

    Raises:
        ModelLoadError: There is no model_type.
    """
    family = FAMILIES.get(checkpoint.config.model_type)
    return family if family is not None and family.computes(checkpoint, saved) else None


def load_model(
    checkpoint: Checkpoint, saved: Saved, settings: LocalSettings, *, name: str, progress: bool
) -> LoadedModel:
    """Loads a folder by its fast path, or through the reference.

    Args:
        checkpoint: Its configuration and its tensors' names.
        saved: What sentence-transformers saved beside them.
        settings: What the layers compute in (heads: in float32), where, and which label means relevant.
        name: What the model is called; some are known by that alone.
        progress: Whether transformers may show its bar.

    Raises:
        MissingExtraError: It needs sentence-transformers, which is not installed.
        ModelLoadError: Neither can compute what its files ask for; the message names the file.
    """
    listwise = checkpoint.config.values.get("architectures") == [ARCHITECTURE]
    family = None if listwise else find_family(checkpoint, saved)
    try:
        if listwise:
            tokenizer = SavedTokenizer.read(checkpoint.folder)
            tokenizer.check(checkpoint.folder, checkpoint.config.size("vocab_size"))
            return load_listwise(checkpoint, tokenizer, settings)
        if family is not None:
            checkpoint = family.within(checkpoint) if family.within else checkpoint
            tokenizer = SavedTokenizer.read(checkpoint.folder)
            tokenizer.check(checkpoint.folder, checkpoint.config.size("vocab_size"))
            if family.reads(checkpoint.config, tokenizer):
                return family.load(checkpoint, tokenizer, settings)
        from .transformers_model import load_reference
    except ImportError as error:
        raise MissingExtraError(
            "this model needs transformers and sentence-transformers 6.2 or later "
            f"({error}): pip install 'nvrerank[local]'"
        ) from error
    return load_reference(checkpoint, saved, settings, name=name, progress=progress)
