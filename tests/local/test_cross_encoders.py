"""Any cross-encoder with one label scores as transformers' own model does, one pair at a time."""

from __future__ import annotations

import pytest
import torch
import transformers
from support.checkpoints import write_cross_encoder, write_decoder
from tokenizers import Tokenizer

from nvrerank import LocalScorer, ModelLoadError
from nvrerank.local.layers import GeluLinear, Linear
from nvrerank.local.settings import multiplies_bfloat16

QUERY = "who wrote the book?"
PASSAGES = [
    "the book of the dead sea scrolls",
    "rust",
    "a class is iterable when it defines __iter__ and more, " * 4,
    "the kernel of a banana",
]
KINDS = ["bert", "xlm-roberta", "modernbert"]


def one_pair_at_a_time(folder, **mistake) -> list[float]:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval().double()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    scores = []
    for passage in PASSAGES:
        pair = (
            tokenizer.encode(passage, QUERY) if mistake.get("swapped") else tokenizer.encode(QUERY, passage)
        )
        inputs = {"input_ids": torch.tensor([pair.ids])}
        if getattr(model.config, "type_vocab_size", 0) > 1 and not mistake.get("one_type"):
            inputs["token_type_ids"] = torch.tensor([pair.type_ids])
        with torch.no_grad():
            scores.append(float(model(**inputs).logits[0, 0]))
    return scores


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_tokens", [1, 10_000])
def test_scores_equal_transformers_own(tmp_path, kind, batch_tokens):
    folder = write_cross_encoder(tmp_path, kind)
    scores = LocalScorer(folder, device="cpu", dtype="float32", batch_tokens=batch_tokens).score(
        QUERY, PASSAGES
    )
    assert scores == pytest.approx(one_pair_at_a_time(folder), abs=1e-5)


@pytest.mark.parametrize("mistake", [{"swapped": True}, {"one_type": True}])
def test_the_comparison_would_notice(tmp_path, mistake):
    folder = write_cross_encoder(tmp_path, "bert")
    scores = LocalScorer(folder, device="cpu", dtype="float32").score(QUERY, PASSAGES)
    wrong = one_pair_at_a_time(folder, **mistake)
    assert max(abs(a - b) for a, b in zip(scores, wrong, strict=True)) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_passage_is_cut_to_the_model_and_keeps_its_end_token(tmp_path, kind):
    scorer = LocalScorer(
        write_cross_encoder(tmp_path, kind), device="cpu", dtype="float32", long_passages="truncate"
    )
    long = "the sea " * 1000
    assert scorer.max_length == 128
    assert scorer.score(QUERY, [long]) == pytest.approx(scorer.score(QUERY, [long + "and more"]), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_classifier_of_several_labels_is_refused(tmp_path, kind):
    folder = write_cross_encoder(tmp_path, kind, labels=3)
    with pytest.raises(ModelLoadError, match="3 labels"):
        LocalScorer(folder, device="cpu", dtype="float32").load()


def test_an_unusual_bert_goes_through_transformers(tmp_path):
    folder = write_cross_encoder(tmp_path, "bert")
    file = folder / "config.json"
    file.write_text(file.read_text().replace('"hidden_act": "gelu"', '"hidden_act": "relu"'))
    scores = LocalScorer(folder, device="cpu", dtype="float32").score(QUERY, PASSAGES)
    assert scores == pytest.approx(one_pair_at_a_time(folder), abs=1e-5)


@pytest.mark.parametrize("model", ["llama", "bert", "xlm-roberta"])
def test_layers_in_bfloat16_have_few_numbers_of_rows(tmp_path, model):
    folder = write_decoder(tmp_path) if model == "llama" else write_cross_encoder(tmp_path, model)
    passages = [f"{passage} {number}" for number in range(9) for passage in PASSAGES]
    exact = LocalScorer(folder, device="cpu", dtype="float32").score(QUERY, passages)
    scorer, seen = LocalScorer(folder, device="cpu", dtype="bfloat16", batch_tokens=300).load(), set()
    with torch.nn.modules.module.register_module_forward_pre_hook(
        lambda layer, inputs: seen.add(len(inputs[0])) if isinstance(layer, Linear) else None
    ):
        scores = scorer.score(QUERY, passages)
    assert seen
    assert {count % 16 for count in seen} == {0}
    assert scores == pytest.approx(exact, abs=0.05 * (max(exact) - min(exact)))


@pytest.mark.parametrize("kind", [Linear, GeluLinear])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_computes_as_torchs_own(kind, bias):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer, rows = (
            kind(96, 80, bias=bias).bfloat16().requires_grad_(requires_grad=False),
            torch.randn(33, 96),
        )
    rows = rows.bfloat16()
    wanted = rows.double() @ layer.weight.double().T + (layer.bias.double() if bias else 0)
    expected = torch.nn.functional.gelu(wanted) if kind is GeluLinear else wanted
    plain = layer(rows)
    layer.pack()
    assert (layer.packed is not None) == multiplies_bfloat16()
    for found in (plain, layer(rows), layer(rows.float())):
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found.double(), expected, atol=2e-3, rtol=2**-7)
    assert (layer(rows).double() - torch.relu(wanted)).abs().max() > 0.1, "another activation is seen"


def test_float32_keeps_torchs_own_layout():
    layer = Linear(8, 8)
    layer.pack()
    assert layer.packed is None
    assert layer.weight.shape == (8, 8)
