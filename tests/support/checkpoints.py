"""Small checkpoints with random weights, written as the hub's are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from support.tokenizers import bert_tokenizer, llama_tokenizer, roberta_tokenizer

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,  # so that short tests feel the scaling
}


def decoder_config(**changes: Any) -> dict[str, Any]:
    """A tiny Llama-family config.json."""
    return {
        "model_type": "llama_bidirec",
        "vocab_size": 512,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "rms_norm_eps": 1e-5,
        "rope_theta": 5e5,
        "rope_scaling": LLAMA3_ROPE,
        "max_position_embeddings": 2048,
        "hidden_act": "silu",
        "pooling": "avg",
        "auto_map": {"AutoModel": "remote_code.Model"},
        **changes,
    }


def mistral_config(**changes: Any) -> dict[str, Any]:
    """A tiny Mistral-family config.json."""
    mistral = {"model_type": "mistral", "rope_theta": 1e4, "rope_scaling": None, "sliding_window": 4096}
    return decoder_config(**{**mistral, **changes})


def decoder_tensors(config: dict[str, Any], *, labels: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights large enough that scores spread over several units."""
    generator = torch.Generator().manual_seed(seed)
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    inner = config["num_attention_heads"] * config["head_dim"]
    shared = config["num_key_value_heads"] * config["head_dim"]

    def matrix(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * (1.6 / shape[-1] ** 0.5)

    def norm() -> torch.Tensor:
        return 1 + 0.2 * torch.randn(hidden, generator=generator)

    tensors = {"model.embed_tokens.weight": torch.randn(config["vocab_size"], hidden, generator=generator)}
    for layer in range(config["num_hidden_layers"]):
        tensors |= {
            f"model.layers.{layer}.input_layernorm.weight": norm(),
            f"model.layers.{layer}.post_attention_layernorm.weight": norm(),
            f"model.layers.{layer}.self_attn.q_proj.weight": matrix(inner, hidden),
            f"model.layers.{layer}.self_attn.k_proj.weight": matrix(shared, hidden),
            f"model.layers.{layer}.self_attn.v_proj.weight": matrix(shared, hidden),
            f"model.layers.{layer}.self_attn.o_proj.weight": matrix(hidden, inner),
            f"model.layers.{layer}.mlp.gate_proj.weight": matrix(wide, hidden),
            f"model.layers.{layer}.mlp.up_proj.weight": matrix(wide, hidden),
            f"model.layers.{layer}.mlp.down_proj.weight": matrix(hidden, wide),
        }
    tensors["model.norm.weight"] = norm()
    tensors["score.weight"] = matrix(labels, hidden) * 4
    return tensors


def write_checkpoint(
    folder: Path,
    config: dict[str, Any],
    tensors: dict[str, torch.Tensor],
    tokenizer: Tokenizer | None = None,
    *,
    shards: int = 1,
) -> Path:
    """Writes config.json, tokenizer.json and one or more safetensors files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (tokenizer or llama_tokenizer()).save(str(folder / "tokenizer.json"))
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    weight_map = {
        name: f"model-{number % shards + 1:05}-of-{shards:05}.safetensors"
        for number, name in enumerate(tensors)
    }
    for shard in set(weight_map.values()):
        save_file({name: tensors[name] for name in tensors if weight_map[name] == shard}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def write_decoder(folder: Path, *, labels: int = 1, shards: int = 1, **changes: Any) -> Path:
    """A tiny checkpoint of the Llama family, or of another by `model_type`."""
    config = decoder_config(**changes)
    return write_checkpoint(folder, config, decoder_tensors(config, labels=labels), shards=shards)


def write_cross_encoder(folder: Path, kind: str, *, labels: int = 1) -> Path:
    """A tiny checkpoint as transformers saves it: "bert", "xlm-roberta" or "modernbert"."""
    import transformers

    tokenizer = roberta_tokenizer() if kind == "xlm-roberta" else bert_tokenizer()
    sizes: dict[str, Any] = {
        "vocab_size": 512,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_labels": labels,
        "initializer_range": 0.3,
    }
    torch.manual_seed(1)
    if kind == "bert":
        config: Any = transformers.BertConfig(**sizes, max_position_embeddings=128)
        model: Any = transformers.BertForSequenceClassification(config)
    elif kind == "xlm-roberta":
        config = transformers.XLMRobertaConfig(
            **sizes, max_position_embeddings=130, type_vocab_size=1, pad_token_id=1
        )
        model = transformers.XLMRobertaForSequenceClassification(config)
    else:
        ids = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
        config = transformers.ModernBertConfig(**sizes, **ids, max_position_embeddings=128)
        model = transformers.ModernBertForSequenceClassification(config)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
