"""Any cross-encoder with one label scores as transformers' own model does, one pair at a time."""

from __future__ import annotations

import pytest
import torch
import transformers
from support.checkpoints import write_cross_encoder
from tokenizers import Tokenizer

from nvrerank import LocalScorer, ModelLoadError

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
    scores = LocalScorer(folder, device="cpu", batch_tokens=batch_tokens).score(QUERY, PASSAGES)
    assert scores == pytest.approx(one_pair_at_a_time(folder), abs=1e-5)


@pytest.mark.parametrize("mistake", [{"swapped": True}, {"one_type": True}])
def test_the_comparison_would_notice(tmp_path, mistake):
    folder = write_cross_encoder(tmp_path, "bert")
    scores = LocalScorer(folder, device="cpu").score(QUERY, PASSAGES)
    wrong = one_pair_at_a_time(folder, **mistake)
    assert max(abs(a - b) for a, b in zip(scores, wrong, strict=True)) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_passage_is_cut_to_the_model_and_keeps_its_end_token(tmp_path, kind):
    scorer = LocalScorer(write_cross_encoder(tmp_path, kind), device="cpu", long_passages="truncate")
    long = "the sea " * 1000
    assert scorer.max_length == 128
    assert scorer.score(QUERY, [long]) == pytest.approx(scorer.score(QUERY, [long + "and more"]), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_classifier_of_several_labels_is_refused(tmp_path, kind):
    folder = write_cross_encoder(tmp_path, kind, labels=3)
    with pytest.raises(ModelLoadError, match="3 labels"):
        LocalScorer(folder, device="cpu").load()


def test_an_unusual_bert_goes_through_transformers(tmp_path):
    folder = write_cross_encoder(tmp_path, "bert")
    file = folder / "config.json"
    file.write_text(file.read_text().replace('"hidden_act": "gelu"', '"hidden_act": "relu"'))
    scores = LocalScorer(folder, device="cpu").score(QUERY, PASSAGES)
    assert scores == pytest.approx(one_pair_at_a_time(folder), abs=1e-5)
