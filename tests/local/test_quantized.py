"""int8: the integers' own arithmetic, a loss that is small and not nothing, and what it refuses."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from support.checkpoints import mistral_config, write_cross_encoder, write_decoder
from support.processor import WITH_INT8
from torch import nn

from nvrerank import LocalScorer
from nvrerank.local.layers import Int8Linear, by_integers, quantize
from nvrerank.local.settings import integers_pay

QUERY = "how do I make a class iterable?"
PASSAGES = ["A class is iterable when it defines __iter__.", "Bananas.", "rust " * 40, "naïve 東京 🙂"]
MODELS = {
    "bundled": lambda _folder: None,
    "llama": write_decoder,
    "mistral": lambda folder: write_decoder(folder, **mistral_config()),
    "bert": lambda folder: write_cross_encoder(folder, "bert"),
    "xlm-roberta": lambda folder: write_cross_encoder(folder, "xlm-roberta"),
    "modernbert": lambda folder: write_cross_encoder(folder, "modernbert"),
}


@pytest.fixture(scope="module", params=MODELS)
def folder(request, tmp_path_factory):
    return MODELS[request.param](tmp_path_factory.mktemp("model"))


@WITH_INT8
def test_every_family_scores_nearly_as_in_float32(folder):
    exact = LocalScorer(folder, device="cpu", dtype="float32").score(QUERY, PASSAGES)
    small = LocalScorer(folder, device="cpu", quantize="int8").score(QUERY, PASSAGES)
    assert small == pytest.approx(exact, abs=0.05 * max(1, *map(abs, exact)))
    assert small != exact, "nothing was quantised"


@WITH_INT8
def test_a_score_still_depends_on_its_own_pair_alone(folder):
    scorer = LocalScorer(folder, device="cpu", quantize="int8")
    together = scorer.score(QUERY, PASSAGES)
    assert together == pytest.approx([scorer.score(QUERY, [one])[0] for one in PASSAGES], abs=2e-2)


def layer(inputs: int = 64, outputs: int = 48, *, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias=bias).requires_grad_(requires_grad=False)


def by_hand(linear: nn.Linear, rows: torch.Tensor) -> np.ndarray:
    """The same rounding in float64, one scale a row and one an output."""
    weight, inputs = linear.weight.double().numpy(), rows.double().numpy()
    scale_w = np.abs(weight).max(1, keepdims=True) / 127
    scale_x = np.abs(inputs).max(1, keepdims=True) / 127
    product = np.rint(inputs / scale_x) @ np.rint(weight / scale_w).T * scale_x * scale_w.T
    return product if linear.bias is None else product + linear.bias.double().numpy()


@WITH_INT8
@pytest.mark.parametrize("bias", [True, False])
def test_the_product_is_that_of_the_rounded_numbers(bias):
    linear, rows = layer(bias=bias), torch.randn(33, 64, generator=torch.Generator().manual_seed(1))
    got = Int8Linear(linear)(rows).numpy()
    assert np.abs(got - by_hand(linear, rows)).max() < 1e-2 * np.abs(got).max()
    assert np.median(np.abs(got - by_hand(linear, rows))) < 1e-6
    assert np.median(np.abs(got - linear(rows).numpy())) > 1e-4, "float32's product is another"


@WITH_INT8
@pytest.mark.parametrize("inputs", [384, 1040])
def test_the_product_is_exact_at_the_largest_numbers(inputs):
    left = torch.full((5, inputs), 127, dtype=torch.int8)
    signs = torch.ones(inputs, 8, dtype=torch.int8)
    signs[::3, ::2] = -1
    right = 127 * signs
    exact = left.numpy().astype(np.int64) @ right.numpy().astype(np.int64)
    assert (by_integers(left, right).numpy() == exact).all()
    assert ((left.half() @ right.half()).numpy() != exact).any(), "half precision is too little"


def test_a_machine_without_instructions_for_it_computes_in_float32_and_says_so(monkeypatch):
    integers_pay.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    try:
        with pytest.warns(UserWarning, match="float32 is as fast and loses nothing") as told:
            plain = LocalScorer(device="cpu", quantize="int8")
    finally:
        integers_pay.cache_clear()
    assert told[0].filename == __file__
    assert "dtype=torch.float32" in repr(plain)
    assert plain.identity["quantize"] is None
    assert plain.score(QUERY, PASSAGES) == LocalScorer(device="cpu", dtype="float32").score(QUERY, PASSAGES)


@WITH_INT8
def test_a_machine_with_instructions_for_it_is_told_nothing(recwarn):
    LocalScorer(device="cpu", quantize="int8").score(QUERY, PASSAGES)
    assert not recwarn


@WITH_INT8
def test_a_row_of_nothing_gives_the_bias():
    linear = layer()
    assert torch.equal(Int8Linear(linear)(torch.zeros(2, 64)), linear.bias.expand(2, -1))


def test_a_weight_takes_a_quarter_of_the_memory():
    linear = layer()
    small = Int8Linear(linear)
    assert small.weight.nbytes * 4 == linear.weight.nbytes


def test_heads_and_embeddings_stay_as_they_are():
    module = nn.ModuleDict({"layers": nn.ModuleList([layer()]), "head": layer(), "words": nn.Embedding(3, 4)})
    quantize(module, "layers.")
    assert [type(part).__name__ for part in (module["layers"][0], module["head"], module["words"])] == [
        "Int8Linear",
        "Linear",
        "Embedding",
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quantize": "int4"}, "'int8' or None"),
        ({"quantize": True}, "'int8' or None"),
        ({"quantize": "int8", "dtype": "bfloat16"}, "float32 on a CPU"),
        ({"quantize": "int8", "dtype": "float16"}, "float32 on a CPU"),
    ],
)
def test_what_it_is_not_for_is_refused_at_construction(options, words):
    with pytest.raises(ValueError, match=words):
        LocalScorer(**{"device": "cpu"} | options)


@WITH_INT8
def test_it_is_kept_by_a_pickle_and_told_by_the_repr():
    copy = pickle.loads(pickle.dumps(LocalScorer(device="cpu", quantize="int8")))
    assert repr(copy) == "LocalScorer('nvrerank-bundled', device='cpu', dtype=int8, long_passages='truncate')"
