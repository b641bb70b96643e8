"""The recipe lies outside the wheel: its folder is put on the path for these tests."""

import random
import sys
from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).parents[2] / "shared"
sys.path.insert(0, str(SHARED))

from nvrerank.local.bundled.network import TwoSegmentConfig, TwoSegmentEncoder  # noqa: E402  # after the path is set

CONFIG = TwoSegmentConfig(
    vocab_size=60,
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=40,
    first_crossing_layer=1,
)


@pytest.fixture
def model():
    """A small random model with every term at work and its gates a little open."""
    torch.manual_seed(0)
    encoder = TwoSegmentEncoder(CONFIG)
    with torch.no_grad():
        for name, tensor in encoder.named_parameters():
            tensor.copy_(torch.ones_like(tensor) if "norm.weight" in name else torch.randn_like(tensor) * 0.2)
        encoder.idf.copy_(torch.rand(CONFIG.vocab_size) * 5)
        encoder.idf[:4] = 0.0  # 1 and 2 stand for [CLS] and [SEP]
    return encoder.eval()


@pytest.fixture
def pairs():
    """Pairs of very different lengths."""
    chance = random.Random(0)
    lengths = [(3, 30), (7, 2), (5, 12), (1, 1), (9, 38), (4, 12)]
    return [
        ([1, *chance.choices(range(4, 60), k=q), 2], [1, *chance.choices(range(4, 60), k=p), 2])
        for q, p in lengths
    ]
