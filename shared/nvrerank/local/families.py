"""Which architecture a config.json's model_type means. Adding one is adding a record."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from nvrerank.errors import ModelLoadError
from nvrerank.models import NVIDIA_PROMPT

from .attention import Packing
from .bert import BertReranker, EncoderConfig, RobertaReranker
from .checkpoint import Checkpoint
from .config import Config
from .packed import DecoderConfig, PackedDecoder, RopeScaling
from .prompt import PairEncoder, PromptEncoder, TemplateEncoder, TokenPair, TwoInputEncoder
from .two_segment import TwoSegmentConfig, TwoSegmentEncoder

MOST_LAYERS = 1024


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
        not_needed: Regular expression of tensors that checkpoints of it hold and scoring doesn't need.
    """

    build: Callable[[Checkpoint], nn.Module]
    encoder: Callable[[Tokenizer], PairEncoder]
    forward: Callable[[nn.Module, torch.device, Sequence[TokenPair]], Tensor]
    context: Callable[[Config], int]
    not_needed: str = ""

    def load(self, checkpoint: Checkpoint, *, dtype: torch.dtype, device: torch.device) -> LoadedModel:
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


def _decoder(checkpoint: Checkpoint) -> nn.Module:
    config = checkpoint.config
    for name, value in (("attention_bias", False), ("mlp_bias", False), ("hidden_act", "silu")):
        config.expect(name, value)
    config.expect("pooling", "avg", "mean")
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    shared = config.size("num_key_value_heads", heads)
    size = config.size("head_dim", max(1, hidden // heads))
    if heads % shared or size % 2:
        raise config.wrong(
            "num_attention_heads", f"a multiple of the {shared} key/value heads, with heads of even size"
        )
    return PackedDecoder(
        DecoderConfig(
            vocab_size=config.size("vocab_size"),
            hidden_size=hidden,
            intermediate_size=config.size("intermediate_size"),
            num_hidden_layers=config.size("num_hidden_layers", at_most=MOST_LAYERS),
            num_attention_heads=heads,
            num_key_value_heads=shared,
            head_dim=size,
            rms_norm_eps=config.positive("rms_norm_eps"),
            rope_theta=_rope(config).positive("rope_theta", config.positive("rope_theta", 1e4)),
            rope_scaling=_rope_scaling(_rope(config)),
            temperature=config.positive("temperature", 1.0),
            labels=_labels(checkpoint),
        )
    )


def _labels(checkpoint: Checkpoint) -> int:
    shape = checkpoint.shapes.get("score.weight", (1,))  # a missing head is reported with the rest
    if shape[0] not in (1, 2):
        raise ModelLoadError(
            f"{checkpoint.files['score.weight']}: tensor score.weight has {shape[0]} labels: "
            "a reranker has 1 or 2"
        )
    return shape[0]


def _rope(config: Config) -> Config:
    """The rotary settings: one section since transformers 5, spread over two places before."""
    return config.section("rope_parameters") or config.section("rope_scaling") or Config(config.file, {})


def _rope_scaling(rope: Config) -> RopeScaling | None:
    kind = rope.values.get("rope_type", rope.values.get("type", "default"))
    if kind == "default":
        return None
    if kind != "llama3":
        raise ModelLoadError(f"{rope.file}: rope_type must be 'llama3' or 'default', not {kind!r:.80}")
    scaling = RopeScaling(
        factor=rope.positive("factor"),
        low_freq_factor=rope.positive("low_freq_factor"),
        high_freq_factor=rope.positive("high_freq_factor"),
        original_max_position_embeddings=rope.size("original_max_position_embeddings"),
    )
    if scaling.high_freq_factor <= scaling.low_freq_factor:
        raise rope.wrong("high_freq_factor", "above low_freq_factor")
    return scaling


def _encoder_config(checkpoint: Checkpoint, *, first_position: int) -> EncoderConfig:
    config = checkpoint.config
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    if hidden % heads:
        raise config.wrong("num_attention_heads", f"a divisor of hidden_size {hidden}")
    positions = config.size("max_position_embeddings")
    if positions <= first_position:
        raise config.wrong("max_position_embeddings", f"above {first_position}")
    return EncoderConfig(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        intermediate_size=config.size("intermediate_size"),
        num_hidden_layers=config.size("num_hidden_layers", at_most=MOST_LAYERS),
        num_attention_heads=heads,
        max_position_embeddings=positions,
        type_vocab_size=config.size("type_vocab_size", 2),
        layer_norm_eps=config.positive("layer_norm_eps", 1e-12),
        first_position=first_position,
    )


def _first_position(config: Config) -> int:
    """RoBERTa counts positions from the one after the padding token's id."""
    return config.size("pad_token_id", 1) + 1


def _bert(checkpoint: Checkpoint) -> nn.Module:
    _one_label(checkpoint, "classifier.weight")
    return BertReranker(_encoder_config(checkpoint, first_position=0))


def _roberta(checkpoint: Checkpoint) -> nn.Module:
    _one_label(checkpoint, "classifier.out_proj.weight")
    config = _encoder_config(checkpoint, first_position=_first_position(checkpoint.config))
    return RobertaReranker(config)


def _one_label(checkpoint: Checkpoint, head: str) -> None:
    labels = checkpoint.shapes.get(head, (1,))[0]
    if labels != 1:
        raise ModelLoadError(
            f"{checkpoint.files[head]}: tensor {head} has {labels} labels: a reranker of this kind has 1, "
            "this is a classifier"
        )


def _two_segment(checkpoint: Checkpoint) -> nn.Module:
    try:
        config = TwoSegmentConfig.from_dict(checkpoint.config.values)
    except ValueError as error:
        raise ModelLoadError(f"{checkpoint.config.file}: {error}") from error
    return TwoSegmentEncoder(config)


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
    return torch.tensor([token for pair in batch for token in pair.ids], device=device)  # [tokens]


def _packing(batch: Sequence[TokenPair], device: torch.device) -> Packing:
    return Packing([len(pair.ids) for pair in batch], device)


def _nvidia(context: int) -> Family:
    return Family(
        build=_decoder,
        encoder=partial(PromptEncoder, prompt=NVIDIA_PROMPT),
        forward=_one_sequence,
        context=lambda config: min(context, config.size("max_position_embeddings", context)),
        not_needed=r"lm_head\.weight|.*\.rotary_emb\.inv_freq",
    )


_LLAMA = _nvidia(context=8192)
_MISTRAL = _nvidia(context=512)
_BERT = Family(
    build=_bert,
    encoder=TemplateEncoder,
    forward=_typed_sequence,
    context=lambda config: config.size("max_position_embeddings"),
    not_needed=r"bert\.embeddings\.position_ids",
)
_ROBERTA = Family(
    build=_roberta,
    encoder=TemplateEncoder,
    forward=_typed_sequence,
    context=lambda config: config.size("max_position_embeddings") - _first_position(config),
    not_needed=r"roberta\.embeddings\.position_ids|roberta\.pooler\.dense\.(weight|bias)",
)
_TWO_SEGMENT = Family(
    build=_two_segment,
    encoder=TwoInputEncoder,
    forward=_two_inputs,
    context=lambda config: config.size("max_position_embeddings"),
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
