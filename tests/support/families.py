"""A tiny checkpoint of each architecture that people load as a reranker, saved by the libraries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, processors

from support.tokenizers import bert_tokenizer, llama_tokenizer, roberta_tokenizer

TYPED = ("input_ids", "token_type_ids", "attention_mask")
UNTYPED = ("input_ids", "attention_mask")
_SIZES = {
    "vocab_size": 512,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 130,
    "num_labels": 1,
}
_UNKNOWN = {"Funnel": ("num_hidden_layers",), "XLNet": ("max_position_embeddings",)}
_CHAT = ["<|pad|>", "<|im_start|>", "<|im_end|>"]


@dataclass(frozen=True)
class TinyFamily:
    """How a tiny model of an architecture is made.

    Attributes:
        config: transformers' class of its configuration, without "Config".
        tokenizer: "bert", "roberta", "chat", "xlnet" or "funnel".
        inputs: What the tokenizer gives.
        sizes: What its configuration calls otherwise, or needs beside `_SIZES`.
        fast: Whether this package computes it itself.
    """

    config: str
    tokenizer: str = "bert"
    inputs: tuple[str, ...] = TYPED
    sizes: Mapping[str, Any] = field(default_factory=dict)
    fast: bool = False


def _decoder(config: str, **sizes: Any) -> TinyFamily:
    shared = {"num_key_value_heads": 2, "pad_token_id": 393, "bos_token_id": 394, "eos_token_id": 395}
    return TinyFamily(config, "chat", UNTYPED, {**shared, **sizes})


_RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16}
_ROBERTA = {"pad_token_id": 1, "type_vocab_size": 1}
_EMBEDDING = {"embedding_size": 32}
_OWN_WORDS = {"n_layers": 2, "n_heads": 4}
FAMILIES = {
    "albert": TinyFamily("Albert", sizes={**_EMBEDDING, "pad_token_id": 0}),
    "bert": TinyFamily("Bert", fast=True),
    "big_bird": TinyFamily("BigBird", sizes={"attention_type": "original_full"}),
    "camembert": TinyFamily("Camembert", "roberta", UNTYPED, _ROBERTA),
    "convbert": TinyFamily("ConvBert", sizes=_EMBEDDING),
    "data2vec-text": TinyFamily("Data2VecText", "roberta", UNTYPED, _ROBERTA),
    "deberta": TinyFamily(
        "Deberta", sizes={"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 2}
    ),
    "deberta-v2": TinyFamily("DebertaV2", sizes=_RELATIVE),
    "distilbert": TinyFamily("DistilBert", inputs=UNTYPED, sizes={**_OWN_WORDS, "dim": 32, "hidden_dim": 64}),
    "electra": TinyFamily("Electra", sizes=_EMBEDDING),
    "ernie": TinyFamily("Ernie"),
    "funnel": TinyFamily(
        "Funnel",
        "funnel",
        sizes={"block_sizes": [1, 1], "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 64},
    ),
    "gemma": _decoder("Gemma", head_dim=8),
    "gemma2": _decoder("Gemma2", head_dim=8, query_pre_attn_scalar=8),
    "gemma3_text": _decoder("Gemma3Text", head_dim=8, query_pre_attn_scalar=8),
    "gpt2": TinyFamily(
        "GPT2",
        "chat",
        UNTYPED,
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 130, "pad_token_id": 393},
    ),
    "llama": _decoder("Llama"),
    "longformer": TinyFamily("Longformer", "roberta", UNTYPED, {**_ROBERTA, "attention_window": [16, 16]}),
    "mistral": _decoder("Mistral"),
    "mobilebert": TinyFamily(
        "MobileBert",
        sizes={
            **_EMBEDDING,
            "true_hidden_size": 32,
            "intra_bottleneck_size": 32,
            "num_feedforward_networks": 1,
        },
    ),
    "modernbert": TinyFamily("ModernBert", inputs=UNTYPED, sizes={"pad_token_id": 0}),
    "mpnet": TinyFamily("MPNet", "roberta", UNTYPED, {"pad_token_id": 1}),
    "phi3": _decoder("Phi3"),
    "qwen2": _decoder("Qwen2"),
    "qwen3": _decoder("Qwen3", head_dim=8),
    "rembert": TinyFamily("RemBert", sizes={"input_embedding_size": 32, "output_embedding_size": 32}),
    "roberta": TinyFamily("Roberta", "roberta", UNTYPED, _ROBERTA, fast=True),
    "xlm": TinyFamily(
        "XLM", inputs=UNTYPED, sizes={**_OWN_WORDS, "emb_dim": 32, "pad_index": 0, "n_langs": 1}
    ),
    "xlm-roberta": TinyFamily("XLMRoberta", "roberta", UNTYPED, _ROBERTA, fast=True),
    "xlm-roberta-xl": TinyFamily("XLMRobertaXL", "roberta", UNTYPED, _ROBERTA),
    "xlnet": TinyFamily("XLNet", "xlnet", sizes={"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}),
}


def tiny_model(kind: str, *, labels: int = 1, auto: Any = None, **changes: Any) -> Any:
    """A model with random weights, wide enough apart that scores differ in the first places.

    Args:
        kind: A key of `FAMILIES`.
        labels: How many its head has.
        auto: transformers' class that makes it; None: the one for sequence classification.
        changes: Of its configuration.
    """
    family = FAMILIES[kind]
    values = {**_SIZES, "num_labels": labels, **family.sizes, **changes}
    for name in _UNKNOWN.get(family.config, ()):
        del values[name]
    config = getattr(transformers, f"{family.config}Config")(**values)
    torch.manual_seed(7)
    model = (auto or transformers.AutoModelForSequenceClassification).from_config(config).eval()
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=1.2 / weight.shape[-1] ** 0.5)
        elif not re.search("norm", name, re.IGNORECASE):
            torch.nn.init.normal_(weight, std=0.1)
    return model


def tiny_tokenizer(kind: str, **settings: Any) -> transformers.PreTrainedTokenizerFast:
    """The tokenizer of a family, with transformers' settings beside it."""
    family = FAMILIES[kind]
    names = {
        "chat": {"pad_token": "<|pad|>", "eos_token": "<|im_end|>", "bos_token": "<|im_start|>"},
        "roberta": {"pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>", "unk_token": "<unk>"},
    }.get(family.tokenizer, {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"})
    given = {"model_input_names": list(family.inputs), "model_max_length": 128, **names, **settings}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=_backend(family.tokenizer), **given)


def save_tiny(folder: Path, kind: str, *, model: Any = None, **settings: Any) -> Path:
    """Saves a model of a family with its tokenizer."""
    (model or tiny_model(kind)).save_pretrained(folder)
    tiny_tokenizer(kind, **settings).save_pretrained(folder)
    return folder


def _backend(kind: str) -> Tokenizer:
    if kind == "roberta":
        return roberta_tokenizer()
    if kind == "chat":
        tokenizer = llama_tokenizer()
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
        tokenizer.add_special_tokens([AddedToken(token, special=True) for token in _CHAT])
        return tokenizer
    tokenizer = bert_tokenizer()
    templates = {
        "xlnet": ("$A [SEP] [CLS]:2", "$A [SEP] $B:1 [SEP]:1 [CLS]:2"),
        "funnel": ("[CLS]:2 $A [SEP]", "[CLS]:2 $A [SEP] $B:1 [SEP]:1"),
    }
    if kind in templates:
        single, pair = templates[kind]
        ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=single, pair=pair, special_tokens=ends
        )
    return tokenizer
