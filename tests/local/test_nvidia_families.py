"""NVIDIA's two families score as the model cards say, whatever the batch."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from support import reference
from support.checkpoints import decoder_config, decoder_tensors, mistral_config, write_checkpoint
from support.images import png
from support.tokenizers import llama_tokenizer

from nvrerank import LocalScorer, ModelLoadError, Passage, RequestRejectedError
from nvrerank.local.layers import Packing, attend_in_turn

QUERY = "how do I make a class iterable?"
PASSAGES = [
    "A class is iterable when it defines __iter__ and returns an iterator.",
    "Bananas.",
    "the kernel " * 60,
    "Attention is all you need, said the query to the passage.",
    "rust",
    "The sea belongs to the shore. " * 9,
]
VARIANTS: dict[str, tuple[dict[str, Any], int, int]] = {
    "llama": (decoder_config(), 1, 1),
    "llama, two labels": (decoder_config(), 2, 1),
    "llama, temperature 0.5": (decoder_config(temperature=0.5), 1, 1),
    "llama, sharded": (decoder_config(model_type="llama"), 1, 3),
    "mistral": (mistral_config(), 1, 1),
    "mistral, two labels": (mistral_config(model_type="mistralbidirectional"), 2, 2),
}


def prompt_ids(query: str, passage: str) -> list[int]:
    return list(llama_tokenizer().encode(f"question:{query} \n \n passage:{passage}").ids)


def oracle(config: dict[str, Any], tensors: dict[str, Any], **mistake: Any) -> list[float]:
    return [reference.score(prompt_ids(QUERY, passage), config, tensors, **mistake) for passage in PASSAGES]


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_equal_a_float64_reference_of_one_pair_at_a_time(tmp_path, variant):
    config, labels, shards = VARIANTS[variant]
    tensors = decoder_tensors(config, labels=labels)
    folder = write_checkpoint(tmp_path, config, tensors, shards=shards)
    expected = oracle(config, tensors)
    assert LocalScorer(folder, device="cpu", dtype="float32").score(QUERY, PASSAGES) == pytest.approx(
        expected, abs=1e-5
    )
    assert max(expected) - min(expected) > 0.5, "the scores must differ for the comparison to mean anything"


@pytest.mark.parametrize("config", [decoder_config(is_causal=True), mistral_config(is_causal=True)])
def test_a_causal_model_says_so_in_config_json(tmp_path, config):
    tensors = decoder_tensors(config)
    scores = LocalScorer(write_checkpoint(tmp_path, config, tensors), device="cpu", dtype="float32").score(
        QUERY, PASSAGES
    )
    assert scores == pytest.approx(oracle(config, tensors, causal=True), abs=1e-5)


@pytest.mark.parametrize("mistake", [{"causal": True}, {"last_token": True}, {"scaled_rope": False}])
def test_the_comparison_would_notice(tmp_path, mistake):
    config = decoder_config()
    tensors = decoder_tensors(config)
    scores = LocalScorer(write_checkpoint(tmp_path, config, tensors), device="cpu", dtype="float32").score(
        QUERY, PASSAGES
    )
    wrong = oracle(config, tensors, **mistake)
    assert max(abs(a - b) for a, b in zip(scores, wrong, strict=True)) > 1e-3


def test_the_comparison_would_notice_a_leaking_pack(tmp_path, monkeypatch):
    config = decoder_config()
    tensors = decoder_tensors(config)
    scorer = LocalScorer(write_checkpoint(tmp_path, config, tensors), device="cpu", dtype="float32")
    right = scorer.score(QUERY, PASSAGES)

    def leaking(query, key, value, packing):
        return attend_in_turn(query, key, value, Packing([sum(packing.lengths)], packing.device))

    monkeypatch.setattr("nvrerank.local.decoder.attend", leaking)
    wrong = scorer.score(QUERY, PASSAGES)
    assert max(abs(a - b) for a, b in zip(right, wrong, strict=True)) > 1e-3


def test_scores_do_not_depend_on_batch_or_order(tmp_path):
    config = decoder_config()
    folder = write_checkpoint(tmp_path, config, decoder_tensors(config))
    passages = [f"{passage} {number}" for number in range(8) for passage in PASSAGES]
    together = LocalScorer(folder, device="cpu", dtype="float32", batch_tokens=100_000).score(QUERY, passages)
    alone = LocalScorer(folder, device="cpu", dtype="float32", batch_tokens=1).score(QUERY, passages)
    assert together == pytest.approx(alone, abs=1e-5)
    order = random.Random(0).sample(range(len(passages)), len(passages))
    shuffled = LocalScorer(folder, device="cpu", dtype="float32").score(
        QUERY, [passages[index] for index in order]
    )
    assert shuffled == pytest.approx([alone[index] for index in order], abs=1e-5)


def test_no_padding_is_computed(tmp_path):
    config = decoder_config()
    scorer = LocalScorer(
        write_checkpoint(tmp_path, config, decoder_tensors(config)), device="cpu", dtype="float32"
    )
    scorer.load()
    seen = []
    with torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, inputs: seen.append(len(inputs[0])) if isinstance(module, torch.nn.Embedding) else None
    ):
        scorer.score(QUERY, PASSAGES)
    assert sum(seen) == sum(len(prompt_ids(QUERY, passage)) for passage in PASSAGES)


def test_half_precision_stays_close(tmp_path):
    config = decoder_config()
    tensors = decoder_tensors(config)
    scorer = LocalScorer(write_checkpoint(tmp_path, config, tensors), device="cpu", dtype="bfloat16")
    assert scorer.score(QUERY, PASSAGES) == pytest.approx(oracle(config, tensors), abs=0.15)


def test_transformers_5_spells_rope_in_one_section(tmp_path):
    config = decoder_config()
    tensors = decoder_tensors(config)
    expected = oracle(config, tensors)
    both = {"rope_theta": config.pop("rope_theta"), **config.pop("rope_scaling")}
    folder = write_checkpoint(tmp_path, {**config, "rope_parameters": both}, tensors)
    assert LocalScorer(folder, device="cpu", dtype="float32").score(QUERY, PASSAGES) == pytest.approx(
        expected, abs=1e-5
    )


def test_layers_beyond_the_depth_and_the_language_head_are_skipped(tmp_path):
    config = decoder_config(num_hidden_layers=2)
    tensors = decoder_tensors(decoder_config(num_hidden_layers=3))
    expected = oracle(config, tensors)
    tensors["lm_head.weight"] = torch.ones(512, 32)
    folder = write_checkpoint(tmp_path, config, tensors)
    assert LocalScorer(folder, device="cpu", dtype="float32").score(QUERY, PASSAGES) == pytest.approx(
        expected, abs=1e-5
    )


@pytest.mark.parametrize("model", ["llama", "bundled"])
def test_sixty_passages_have_sixty_scores_in_bfloat16(tmp_path, model):
    config = decoder_config()
    folder = write_checkpoint(tmp_path, config, decoder_tensors(config)) if model == "llama" else None
    years = [f"Ada mended the roof in {year}." for year in range(1900, 1960)]
    assert len(set(LocalScorer(folder, device="cpu", dtype="bfloat16").score(QUERY, years))) == 60


def vl_checkpoint(folder, **changes):
    """The VL reranker as the hub has it: a Llama inside, and the parts that images need."""
    inner = decoder_config()
    tensors = decoder_tensors(inner)
    config = {
        "model_type": "llama_nemotron_vl_rerank",
        "llm_config": {**inner, "pooling": "last", "temperature": 9.0},
        "vision_config": {"model_type": "siglip_vision_model"},
        "pooling": "avg",
        "prompt_template": "v1",
        "temperature": 0.5,
        "auto_map": {"AutoModel": "remote_code.Model"},
        **changes,
    }
    renamed = {name.replace("model.", "model.language_model.", 1): one for name, one in tensors.items()}
    eyes = {"model.vision_model.embeddings.weight": torch.ones(3, 4), "model.mlp1.1.weight": torch.ones(5, 5)}
    write_checkpoint(folder, config, renamed | eyes, shards=2)
    return folder, inner | {"temperature": config["temperature"] or 1.0}, tensors


def test_the_vl_reranker_reads_texts_as_the_llama_within_it(tmp_path):
    folder, inner, tensors = vl_checkpoint(tmp_path)
    scorer = LocalScorer(folder, device="cpu", dtype="float32")
    assert scorer.score(QUERY, PASSAGES) == pytest.approx(oracle(inner, tensors), abs=1e-5)
    assert scorer.score(QUERY, PASSAGES) != pytest.approx(oracle(inner, tensors, last_token=True), abs=1e-3)
    with pytest.raises(
        RequestRejectedError, match=r"passages\[1\]: it has an image, and .* reads texts alone"
    ):
        scorer.score(QUERY, ["a", Passage("b", png())])


@pytest.mark.parametrize(
    "changes",
    [
        {"pooling": None},
        {"pooling": "last"},
        {"prompt_template": None},
        {"prompt_template": "v2"},
        {"llm_config": None},
        {"llm_config": {**decoder_config(), "model_type": "qwen2"}},
    ],
)
def test_a_vl_reranker_of_another_kind_is_refused(tmp_path, changes):
    folder, *_ = vl_checkpoint(tmp_path, **changes)
    with pytest.raises(ModelLoadError, match=r"config\.json"):
        LocalScorer(folder, device="cpu", dtype="float32").load()
