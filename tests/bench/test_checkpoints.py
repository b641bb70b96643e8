"""Operations, texts of a pair, and decoders of true architecture that both sides read."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bench.local import checkpoints, vocabularies
from bench.local.checkpoints import CHECKPOINTS, FOR_PEERS, linear_flops
from nvrerank import LocalScorer
from nvrerank.models import NVIDIA_PROMPT


def test_minilms_operations_equal_a_count_by_hand():
    # four matrices of 384 x 384 and two of 384 x 1536, six times, 2 operations a weight, 10 + 5 tokens
    assert linear_flops(CHECKPOINTS["minilm"], [10, 5]) == 2 * 15 * 6 * (4 * 384 * 384 + 2 * 384 * 1536)


def test_llamas_operations_equal_a_count_by_hand():
    # query and output 2048 x 2048, key and value 512 x 2048, three of 2048 x 8192
    one_layer = 2 * 2048 * 2048 + 2 * 512 * 2048 + 3 * 2048 * 8192
    assert linear_flops(CHECKPOINTS["llama"].of_depth(16), [7]) == 2 * 7 * 16 * one_layer


@pytest.mark.parametrize("name", ["llama", "mistral"])
def test_a_decoders_operations_equal_those_of_transformers_layers(name):
    from transformers import AutoConfig, AutoModel

    with torch.device("meta"):
        model = AutoModel.from_config(AutoConfig.for_model(**CHECKPOINTS[name].config))
    linear = [one.weight.numel() for one in model.modules() if isinstance(one, torch.nn.Linear)]
    assert linear_flops(CHECKPOINTS[name], [3]) == 2 * 3 * sum(linear)


def test_depth_is_a_decoders_to_choose():
    assert CHECKPOINTS["llama"].of_depth(16).layers == 16
    assert CHECKPOINTS["llama"].of_depth(None).layers == 1
    assert CHECKPOINTS["minilm"].of_depth(16).layers == 6


@pytest.mark.parametrize(("name", "space"), [("llama", ""), ("mistral", " ")])
def test_a_pair_laid_end_to_end_is_nvidias_prompt(name, space):
    pair = CHECKPOINTS[name].first + CHECKPOINTS[name].second
    assert pair.format(query="who?", passage="me") == space + NVIDIA_PROMPT.format(query="who?", passage="me")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "mistral"])
def test_a_decoder_scores_alike_for_us_and_for_the_peers(name, tmp_path, monkeypatch):
    from bench.local.engines.base import Setup
    from bench.local.engines.naive import Naive

    small = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 8, "num_key_value_heads": 2}
    spec = replace(CHECKPOINTS[name], config={**CHECKPOINTS[name].config, **small})
    monkeypatch.setitem(checkpoints.CHECKPOINTS, name, spec)
    folder, spec = checkpoints.made(name, tmp_path, layers=2)
    groups = [("who wrote it?", ["the sea", "a class is iterable when it has __iter__", "naïve 東京"])]
    peer = Naive(Setup(str(folder / FOR_PEERS), spec.first, spec.second, spec.max_length))
    peer.configure({"batch_size": 2})
    [expected] = peer.score(groups)
    assert len(set(expected)) == 3
    ours = LocalScorer(folder, device="cpu", dtype="float32").score(*groups[0])
    assert ours == pytest.approx(expected, abs=1e-4)


def test_a_package_that_is_missing_is_named_with_its_cure(monkeypatch):
    monkeypatch.setattr(vocabularies, "find_spec", lambda _name: None)
    with pytest.raises(SystemExit, match=r"needs llama_models: pip install -e '.\[bench\]'"):
        vocabularies.llama3()
