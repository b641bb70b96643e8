"""A checkpoint that is not whole is refused by the name of its file and tensor; nothing is made up."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.checkpoints import (
    decoder_config,
    decoder_tensors,
    write_checkpoint,
    write_cross_encoder,
    write_decoder,
)
from support.tokenizers import llama_tokenizer

from nvrerank import LocalScorer, ModelLoadError

WEIGHTS = "model.safetensors"


def refusal(folder) -> str:
    with pytest.raises(ModelLoadError) as refused:
        LocalScorer(folder, device="cpu", dtype="float32").load()
    return str(refused.value)


def change_config(folder, **changes) -> None:
    file = folder / "config.json"
    values = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({name: value for name, value in values.items() if value != "absent"}))


def change_tensors(folder, change) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


def test_a_missing_tensor_is_named(tmp_path):
    write_decoder(tmp_path)
    change_tensors(tmp_path, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    message = refusal(tmp_path)
    assert WEIGHTS in message
    assert "model.layers.1.mlp.up_proj.weight [64, 32] is missing" in message


def test_a_missing_head_is_not_made_up(tmp_path):
    write_decoder(tmp_path)
    change_tensors(tmp_path, lambda tensors: tensors.pop("score.weight"))
    assert "score.weight [1, 32] is missing" in refusal(tmp_path)


def test_a_misshapen_tensor_is_named_with_both_shapes(tmp_path):
    write_decoder(tmp_path)
    change_tensors(tmp_path, lambda tensors: tensors.update({"model.norm.weight": torch.ones(31)}))
    message = refusal(tmp_path)
    assert "model.norm.weight is [31], config.json says [32]" in message


@pytest.mark.parametrize(
    "name", ["model.layers.0.self_attn.q_proj.bias", "score.bias", "adapter.weight", "model.layers.x.weight"]
)
def test_a_tensor_nobody_knows_is_named(tmp_path, name):
    write_decoder(tmp_path)
    change_tensors(tmp_path, lambda tensors: tensors.update({name: torch.ones(32)}))
    assert f"tensor {name} is not part of this model" in refusal(tmp_path)


def test_a_third_label_is_refused(tmp_path):
    assert "3 labels" in refusal(write_decoder(tmp_path, labels=3))


@pytest.mark.parametrize("keep", [0, 4, 200, 20_000])
def test_a_truncated_file_is_refused(tmp_path, keep):
    write_decoder(tmp_path)
    file = tmp_path / WEIGHTS
    file.write_bytes(file.read_bytes()[:keep])
    assert f"{file} is broken or cut off" in refusal(tmp_path)


def test_a_folder_of_pickles_is_refused_unopened(tmp_path):
    write_decoder(tmp_path)
    (tmp_path / WEIGHTS).rename(tmp_path / "pytorch_model.bin")
    assert "as pickle only (pytorch_model.bin)" in refusal(tmp_path)


def test_a_folder_without_weights_says_so(tmp_path):
    write_decoder(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    assert "holds no model.safetensors" in refusal(tmp_path)


def test_a_missing_shard_is_named(tmp_path):
    write_decoder(tmp_path, shards=3)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    assert "model-00002-of-00003.safetensors is missing" in refusal(tmp_path)


def test_a_shard_without_what_the_index_promises_is_named(tmp_path):
    write_decoder(tmp_path, shards=2)
    shard = tmp_path / "model-00001-of-00002.safetensors"
    tensors = load_file(shard)
    lost = min(tensors)
    del tensors[lost]
    save_file(tensors, shard)
    assert f"{shard} has no tensor {lost}" in refusal(tmp_path)


@pytest.mark.parametrize("shard", ["../model.safetensors", "/etc/passwd", 7])
def test_an_index_that_points_elsewhere_is_refused(tmp_path, shard):
    write_decoder(tmp_path, shards=2)
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"score.weight": shard}})
    )
    assert "must be beside it" in refusal(tmp_path)


@pytest.mark.parametrize("model_type", ["absent", None, 7])
def test_a_config_without_a_model_type_is_refused(tmp_path, model_type):
    write_decoder(tmp_path)
    change_config(tmp_path, model_type=model_type)
    assert "model_type" in refusal(tmp_path)


@pytest.mark.parametrize("model_type", ["nonsense", "whisper"])
def test_a_wrong_model_type_is_named(tmp_path, model_type):
    write_decoder(tmp_path)
    change_config(tmp_path, model_type=model_type)
    assert repr(model_type) in refusal(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": "absent"},
        {"hidden_size": -32},
        {"hidden_size": 32.0},
        {"hidden_size": True},
        {"hidden_size": 1 << 40},
        {"num_hidden_layers": 1 << 19},
        {"num_attention_heads": 3},
        {"head_dim": 7},
        {"rms_norm_eps": 0},
        {"rms_norm_eps": "small"},
        {"temperature": 0},
        {"temperature": float("inf")},
        {"hidden_act": "gelu"},
        {"attention_bias": True},
        {"pooling": "last"},
        {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
        {"rope_scaling": {"rope_type": "llama3"}},
        {"rope_scaling": "llama3"},
    ],
    ids=lambda change: json.dumps(change)[:50],
)
def test_a_config_that_is_out_of_bounds_or_means_another_computation_is_refused(tmp_path, change):
    write_decoder(tmp_path)
    change_config(tmp_path, **change)
    assert "config.json" in refusal(tmp_path)


def test_a_config_that_promises_more_than_the_file_holds_takes_no_memory(tmp_path):
    write_decoder(tmp_path)
    change_config(tmp_path, vocab_size=1 << 20, hidden_size=1 << 20, intermediate_size=1 << 20)
    assert "config.json says" in refusal(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"x"', "\ufeff{}"])
def test_a_config_that_is_no_object_is_refused(tmp_path, content):
    write_decoder(tmp_path)
    (tmp_path / "config.json").write_text(content)
    assert "config.json" in refusal(tmp_path)


def test_a_tokenizer_larger_than_the_embedding_table_is_refused(tmp_path):
    tokenizer = llama_tokenizer()
    tokenizer.add_tokens([f"extra{number}" for number in range(600)])
    config = decoder_config()
    write_checkpoint(tmp_path, config, decoder_tensors(config), tokenizer)
    assert "the embedding table 512 rows" in refusal(tmp_path)


@pytest.mark.parametrize("content", [None, "", "{}"])
def test_a_missing_or_broken_tokenizer_is_refused(tmp_path, content):
    write_decoder(tmp_path)
    file = tmp_path / "tokenizer.json"
    file.unlink()
    if content is not None:
        file.write_text(content)
    assert "tokenizer.json" in refusal(tmp_path)


def test_quantised_weights_are_refused(tmp_path):
    write_decoder(tmp_path)
    name = "model.layers.0.mlp.up_proj.weight"
    change_tensors(tmp_path, lambda tensors: tensors.update({name: torch.ones(64, 32, dtype=torch.int8)}))
    assert "quantised" in refusal(tmp_path)


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "modernbert"])
def test_a_cross_encoder_with_a_tensor_too_few_or_too_many_is_refused(tmp_path, kind):
    write_cross_encoder(tmp_path, kind)
    tensors = load_file(tmp_path / WEIGHTS)
    head = next(name for name in sorted(tensors) if name.startswith("classifier") and name.endswith("weight"))
    save_file({name: tensor for name, tensor in tensors.items() if name != head}, tmp_path / WEIGHTS)
    assert head in refusal(tmp_path)
    save_file({**tensors, "extra.weight": torch.ones(3)}, tmp_path / WEIGHTS)
    assert "extra.weight" in refusal(tmp_path)


def test_a_failed_load_is_tried_again(tmp_path):
    write_decoder(tmp_path)
    good = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text("{")
    scorer = LocalScorer(tmp_path, device="cpu", dtype="float32")
    with pytest.raises(ModelLoadError):
        scorer.load()
    (tmp_path / "config.json").write_text(good)
    assert len(scorer.load().score("q", ["p"])) == 1
