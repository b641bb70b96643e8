"""What docs/local-models.md lists as refused is refused with its reason, in checkpoints of that shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nvrerank import LocalScorer, ModelLoadError

DOCS = (Path(__file__).parents[2] / "docs" / "local-models.md").read_text()
SIZES = {
    "vocab_size": 64,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
REFUSED = {
    "jina-reranker-v2": (
        {"architectures": ["XLMRobertaForSequenceClassification"], "auto_map": {"AutoConfig": "a.B"}},
        "model_type must be the name of an architecture.*code of the folder's own, which is never run",
    ),
    "gte-multilingual-reranker": (
        {
            "model_type": "new",
            "architectures": ["NewForSequenceClassification"],
            "auto_map": {"AutoModel": "a.B"},
        },
        "knows no model_type 'new'; auto_map names code",
    ),
    "bge-reranker-v2-minicpm": (
        {
            "model_type": "minicpm",
            "architectures": ["LayerWiseMiniCPMForCausalLM"],
            "auto_map": {"AutoModel": "a.B"},
        },
        "model_type 'minicpm'; auto_map names code",
    ),
    "-v2.5-gemma2-lightweight": (
        {
            "model_type": "cost_wise_gemma",
            "architectures": ["CostWiseGemmaForCausalLM"],
            "auto_map": {"AutoModel": "a.B"},
        },
        "model_type 'cost_wise_gemma'; auto_map names code",
    ),
    "llama-nemotron-rerank-vl": (
        {
            "model_type": "llama_nemotron_vl_rerank",
            "architectures": ["LlamaNemotronVLForSequenceClassification"],
            "auto_map": {"AutoModel": "a.B"},
        },
        "model_type 'llama_nemotron_vl_rerank'; auto_map names code",
    ),
    "Nemotron-3.5-Rerank": (
        {
            "model_type": "mistral3",
            "architectures": ["Ministral3BidirectionalForSequenceClassification"],
            "auto_map": {"AutoModel": "a.B"},
        },
        "is no class of transformers for sequence-classification.*auto_map names code",
    ),
    "Qwen3-VL-Reranker": (
        {"model_type": "qwen3_vl", "architectures": ["Qwen3VLForConditionalGeneration"]},
        "Qwen3VLForConditionalGeneration' is no class of transformers for",
    ),
    "ctxl-rerank-v2": (
        {"model_type": "mistral", "architectures": ["MistralForCausalLM"]},
        "is a language model, and neither modules.json nor the folder's name says how it ranks",
    ),
    "language models by themselves": (
        {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]},
        "is a language model, and neither modules.json nor the folder's name says how it ranks",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why_and_the_documentation_names_it(tmp_path, name):
    config, reason = REFUSED[name]
    (tmp_path / "config.json").write_text(json.dumps({**SIZES, **config}))
    (tmp_path / "tokenizer.json").write_text("{}")
    save_file({"score.weight": torch.zeros(1, 8)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelLoadError, match=f"(?s){reason}"):
        LocalScorer(tmp_path, device="cpu").load()
    assert name in DOCS
