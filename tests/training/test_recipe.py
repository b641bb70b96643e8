"""Mining and export: small inputs with results worked out by hand."""

import json
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from nvrerank.local.bundled_model import TwoSegmentEncoder
from training.corpora import TrainingRow, read_rows
from training.export import average, export
from training.mining import Passage, Question, mine, negatives
from training.pairs import Texts, group

from .conftest import CONFIG


class Vectors:
    """Embeddings without a model: each text gets a random unit vector of its own."""

    def queries(self, texts):
        rows = [np.random.default_rng(sum(text.encode())).normal(size=8) for text in texts]
        return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)

    passages = queries


def rows(count):
    return [
        TrainingRow(
            f"where is town {n}?",
            f"Town {n} lies on river {n % 7}. Its mayor is number {n}x.",
            "Towns",
            f"River {n % 7}",
            "towns",
        )
        for n in range(count)
    ]


def test_mining_never_returns_the_positive_nor_a_passage_that_holds_the_answer():
    found = mine(rows(60), Vectors(), depth=20)
    assert found
    answers = {row.query: row.answer for row in rows(60)}
    for question in found:
        assert question.positive not in question.negatives
        assert len(set(question.negatives)) == len(question.negatives) > 0
        assert not [one for one in question.negatives if answers[question.query].lower() in one.text.lower()]


def test_an_answer_inside_a_longer_word_does_not_count_as_held():
    row = TrainingRow("q", "the positive text", "", "art", "s")
    kept = negatives(row, Passage("", "the positive text"), [Passage("", "a party"), Passage("", "Art!")])
    assert kept == [Passage("", "a party")]


def test_copies_of_the_positive_are_no_negatives():
    row = TrainingRow("q", "The long text of a positive.", "", "", "s")
    copies = [
        Passage("other", "the long text of a POSITIVE"),
        Passage("", "More: the long text of a positive, and on."),
    ]
    assert negatives(row, Passage("", row.passage), [*copies, Passage("", "else")]) == [Passage("", "else")]


def test_another_answer_to_the_same_question_is_no_negative():
    asked = [
        TrainingRow("Where is town 1?", text, "", "", "s")
        for text in ("Town 1 is here.", "There is town 1.", "No town.")
    ]
    twins = {asked[0].passage, asked[1].passage}
    found = mine([*asked[:2], TrainingRow("else", asked[2].passage, "", "", "s")], Vectors(), depth=3)
    assert all(
        not twins & {p.text for p in one.negatives} for one in found if one.query == "Where is town 1?"
    )


def test_only_english_rows_are_read(tmp_path):
    row = {"query": "q", "positive": "p", "title": None, "answer": "a", "source": "s", "lang": "en"}
    (tmp_path / "some.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "lang": "ja"}) + "\n")
    assert read_rows(tmp_path) == [TrainingRow("q", "p", "", "a", "some")]


@pytest.fixture
def tokenizer(tmp_path):
    """A word-by-word tokenizer with padding and truncation switched on in its file."""
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *"abcdefghij"]
    made = Tokenizer(WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    made.enable_padding(length=12)
    made.enable_truncation(6)
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_a_long_text_is_cut_at_its_end_and_keeps_its_last_separator(tokenizer):
    assert Texts.from_file(tokenizer).ids("c d e f g h i j", 6) == [1, 6, 7, 8, 9, 2]


def test_a_training_group_begins_with_the_positive(tokenizer):
    question = Question("a", Passage("", "b"), tuple(Passage("", word) for word in "cdefghij"), "s")
    drawn = group(question, Texts.from_file(tokenizer), random.Random(0))
    assert drawn[0] == ([1, 4, 2], [1, 5, 2])
    assert len(drawn) == 4  # eight negatives are all among the hardest, and three of those are drawn
    assert [1, 5, 2] not in [passage for _, passage in drawn[1:]]


@torch.inference_mode()
def test_an_exported_model_scores_as_it_did(model, pairs, tokenizer, tmp_path):
    export(model.state_dict(), CONFIG, tokenizer, tmp_path / "out")
    exported = TwoSegmentEncoder(CONFIG).eval()
    state = load_file(tmp_path / "out" / "model.safetensors")
    exported.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    assert (exported(pairs) - model(pairs)).abs().max() < 0.02  # float16
    settings = json.loads((tmp_path / "out" / "config.json").read_text())
    assert settings["model_type"] == "nvrerank_two_segment"
    saved = json.loads((tmp_path / "out" / "tokenizer.json").read_text())
    assert saved["padding"] is saved["truncation"] is None


def test_averaging_checkpoints_weighs_them():
    one, two = {"w": torch.tensor([0.0, 4.0])}, {"w": torch.tensor([8.0, 4.0])}
    assert average([one, two], [0.25, 0.75])["w"].tolist() == [6.0, 4.0]
