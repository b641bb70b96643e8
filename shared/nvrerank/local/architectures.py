"""From a checkpoint's configuration to an empty module; nothing the module can't compute gets through.

Each function is called on the meta device: it takes no memory, whatever the sizes are.

Raises:
    ModelLoadError: A value is missing, out of range, or means another computation.
"""

from __future__ import annotations

from nvrerank.errors import ModelLoadError

from .bert import BertReranker, EncoderConfig, RobertaReranker
from .checkpoint import Checkpoint
from .config import Config, Labels
from .packed import DecoderConfig, PackedDecoder, RopeScaling
from .two_segment import TwoSegmentConfig, TwoSegmentEncoder

_MOST_LAYERS = 1024


def decoder(checkpoint: Checkpoint, label: int | str | None) -> PackedDecoder:
    """NVIDIA's Llama or Mistral reranker; `is_causal` in config.json comes before the class's own habit."""
    config = checkpoint.config
    for name, value in (("attention_bias", False), ("mlp_bias", False), ("hidden_act", "silu")):
        config.expect(name, value)
    config.expect("pooling", "avg", "mean")
    config.expect("is_causal", True, False)
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
            labels=Labels.find(config, checkpoint.shapes.get("score.weight", (1,))[0], label),
            causal=config.values.get("is_causal") is True,
        )
    )


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
    return (config.size("pad_token_id", 1) if config.values.get("pad_token_id") != 0 else 0) + 1


def bert(checkpoint: Checkpoint, label: int | str | None) -> BertReranker:
    """A BERT with one label."""
    Labels.find(checkpoint.config, 1, label)
    return BertReranker(_encoder_config(checkpoint, offset=0))


def roberta(checkpoint: Checkpoint, label: int | str | None) -> RobertaReranker:
    """A RoBERTa or XLM-R with one label."""
    Labels.find(checkpoint.config, 1, label)
    return RobertaReranker(_encoder_config(checkpoint, offset=first_position(checkpoint.config)))


def two_segment(checkpoint: Checkpoint, label: int | str | None) -> TwoSegmentEncoder:
    """The embedded model."""
    Labels.find(checkpoint.config, 1, label)
    try:
        config = TwoSegmentConfig.from_dict(checkpoint.config.values)
    except ValueError as error:
        raise ModelLoadError(f"{checkpoint.config.file}: {error}") from error
    return TwoSegmentEncoder(config)
