"""Batches on a GPU are sized by its free memory. The GPU is a stand-in: none was there to run on."""

from __future__ import annotations

import pytest
import torch
from support.checkpoints import write_decoder

from nvrerank import LocalScorer
from nvrerank.local.checkpoint import Checkpoint
from nvrerank.local.settings import tokens_that_fit


def test_half_of_what_is_free_is_shared_out_by_a_layers_activations():
    # Llama-3.2-1B in bfloat16: 8 x 2,048 + 4 x 8,192 numbers of two bytes are 96 KiB a token
    assert tokens_that_fit(96 * 1024 * 2 * 1000, 2048, 8192, torch.bfloat16) == 1000
    assert tokens_that_fit(96 * 1024 * 2 * 1000, 2048, 8192, torch.float32) == 500


def test_there_is_always_a_batch():
    assert tokens_that_fit(0, 2048, 8192, torch.bfloat16) == 1


@pytest.mark.parametrize("free", [80 * 2**30, 2**20])
def test_a_card_with_little_memory_gets_smaller_batches(tmp_path, monkeypatch, free):
    scorer = LocalScorer(write_decoder(tmp_path), device="cpu", dtype="float32", batch_tokens=16_384)
    config = Checkpoint.open(tmp_path).config
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (free, 80 * 2**30))
    scorer._fit_batches(config)
    fit = tokens_that_fit(free, config.size("hidden_size"), config.size("intermediate_size"), torch.float32)
    assert scorer._runner.budget == min(16_384, fit)
    assert (fit < 16_384) == (free == 2**20)
