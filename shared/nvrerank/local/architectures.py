"""From a checkpoint's configuration to an empty module; nothing the module can't compute gets through.

Each function is called on the meta device: it takes no memory, whatever the sizes are.

Raises:
    ModelLoadError: A value is missing, out of range, or means another computation.
"""

from __future__ import annotations

from nvrerank.errors import ModelLoadError

from .bert import BertReranker, EncoderConfig, RobertaReranker
from .checkpoint import Checkpoint
from .config import Config
from .packed import DecoderConfig, PackedDecoder, RopeScaling
from .two_segment import TwoSegmentConfig, TwoSegmentEncoder

_MOST_LAYERS = 1024


def decoder(checkpoint: Checkpoint) -> PackedDecoder:
    """NVIDIA's Llama or Mistral reranker."""
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
            num_hidden_layers=config.size("num_hidden_layers", at_most=_MOST_LAYERS),
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


def _encoder_config(checkpoint: Checkpoint, *, offset: int) -> EncoderConfig:
    config = checkpoint.config
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    if hidden % heads:
        raise config.wrong("num_attention_heads", f"a divisor of hidden_size {hidden}")
    positions = config.size("max_position_embeddings")
    if positions <= offset:
        raise config.wrong("max_position_embeddings", f"above {offset}")
    return EncoderConfig(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        intermediate_size=config.size("intermediate_size"),
        num_hidden_layers=config.size("num_hidden_layers", at_most=_MOST_LAYERS),
        num_attention_heads=heads,
        max_position_embeddings=positions,
        type_vocab_size=config.size("type_vocab_size", 2),
        layer_norm_eps=config.positive("layer_norm_eps", 1e-12),
        first_position=offset,
    )


def first_position(config: Config) -> int:
    """RoBERTa counts positions from the one after the padding token's id."""
    return config.size("pad_token_id", 1) + 1


def bert(checkpoint: Checkpoint) -> BertReranker:
    """A BERT with one label."""
    _one_label(checkpoint, "classifier.weight")
    return BertReranker(_encoder_config(checkpoint, offset=0))


def roberta(checkpoint: Checkpoint) -> RobertaReranker:
    """A RoBERTa or XLM-R with one label."""
    _one_label(checkpoint, "classifier.out_proj.weight")
    return RobertaReranker(_encoder_config(checkpoint, offset=first_position(checkpoint.config)))


def _one_label(checkpoint: Checkpoint, head: str) -> None:
    labels = checkpoint.shapes.get(head, (1,))[0]
    if labels != 1:
        raise ModelLoadError(
            f"{checkpoint.files[head]}: tensor {head} has {labels} labels: a reranker of this kind has 1, "
            "this is a classifier"
        )


def two_segment(checkpoint: Checkpoint) -> TwoSegmentEncoder:
    """The embedded model."""
    try:
        config = TwoSegmentConfig.from_dict(checkpoint.config.values)
    except ValueError as error:
        raise ModelLoadError(f"{checkpoint.config.file}: {error}") from error
    return TwoSegmentEncoder(config)
