"""Mining, metrics, evaluation and export: small inputs with results worked out by hand."""

import json
import random

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from embedded.corpora import Row, read_eval_set, read_rows
from embedded.evaluate import evaluate, report, table
from embedded.export import average, export, load
from embedded.holdout import held_out, write
from embedded.metrics import interval, measure, ndcg_at, recall_at
from embedded.mining import Passage, Question, mine, negatives
from embedded.pairs import Texts, group

from .conftest import CONFIG


@pytest.fixture
def vectors(monkeypatch):
    """Embeddings without a model: each text gets a random unit vector of its own."""

    def embed(texts, **_):
        rows = np.array(
            [np.random.default_rng(sum(text.encode())).normal(size=8) for text in texts], dtype=np.float32
        )
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    monkeypatch.setattr("embedded.mining.embed", embed)
    monkeypatch.setattr("embedded.retrieval.embed", embed)


def rows(count):
    return [
        Row(
            f"where is town {n}?",
            f"Town {n} lies on river {n % 7}. Its mayor is number {n}x.",
            "Towns",
            f"River {n % 7}",
            "towns",
        )
        for n in range(count)
    ]


def test_mining_never_returns_the_positive_nor_a_passage_that_holds_the_answer(vectors, tmp_path):
    found = mine(rows(60), cache=tmp_path, depth=20)
    assert found
    answers = {row.query: row.answer for row in rows(60)}
    for question in found:
        assert question.positive not in question.negatives
        assert len(set(question.negatives)) == len(question.negatives) > 0
        assert not [one for one in question.negatives if answers[question.query].lower() in one.text.lower()]


def test_an_answer_inside_a_longer_word_does_not_count_as_held():
    row = Row("q", "the positive text", "", "art", "s")
    kept = negatives(row, Passage("", "the positive text"), [Passage("", "a party"), Passage("", "Art!")])
    assert kept == [Passage("", "a party")]


def test_copies_of_the_positive_are_no_negatives():
    row = Row("q", "The long text of a positive.", "", "", "s")
    copies = [
        Passage("other", "the long text of a POSITIVE"),
        Passage("", "More: the long text of a positive, and on."),
    ]
    assert negatives(row, Passage("", row.passage), [*copies, Passage("", "else")]) == [Passage("", "else")]


def test_another_answer_to_the_same_question_is_no_negative(vectors, tmp_path):
    asked = [
        Row("Where is town 1?", text, "", "", "s")
        for text in ("Town 1 is here.", "There is town 1.", "No town.")
    ]
    twins = {asked[0].passage, asked[1].passage}
    found = mine([*asked[:2], Row("else", asked[2].passage, "", "", "s")], cache=tmp_path, depth=3)
    assert all(
        not twins & {p.text for p in one.negatives} for one in found if one.query == "Where is town 1?"
    )


def test_held_out_rows_were_never_given_to_mining():
    many = [Row(f"q{n}", f"p{n}", "", "", "stackexchange") for n in range(2600)]
    from embedded.mining import sampled

    assert len(held_out(many, "stackexchange")) == 100
    assert not set(held_out(many, "stackexchange")) & set(sampled(many))


def test_metrics_agree_with_figures_worked_out_by_hand():
    ranking, relevant = ["a", "x", "b", "y", "z", "c"], {"a", "b", "c", "d"}
    assert measure(ranking, relevant) == pytest.approx({"R@1": 0.25, "R@5": 0.5, "nDCG@10": 0.7246}, abs=1e-4)
    # gains 1 + 1/2 + 1/log2(7) = 1.8562; best order 1 + .6309 + .5 + .4307 = 2.5616
    assert ndcg_at(10, ["x", "a"], {"a"}) == pytest.approx(0.63093, abs=1e-5)
    assert recall_at(5, ["x"] * 5 + ["a"], {"a"}) == 0


def test_an_interval_holds_the_mean_and_is_tight_where_all_queries_agree():
    mean, low, high = interval({"one": np.full(20, 0.1), "two": np.full(50, 0.3)}, draws=100)
    assert (mean, low, high) == pytest.approx((0.2, 0.2, 0.2))
    mean, low, high = interval({"one": np.random.default_rng(0).normal(0.1, 1.0, 100)})
    assert low < mean < high
    assert high - low == pytest.approx(2 * 1.96 / 10, rel=0.2)


def test_evaluation_reranks_what_each_retriever_found_and_reports_it(vectors, tmp_path):
    write(rows(50), tmp_path / "eval" / "towns")
    towns = read_eval_set(tmp_path / "eval", "towns")

    def oracle(query, passages):
        number = query.removeprefix("where is town ").removesuffix("?")
        return [float(f"Town {number} lies" in passage) for passage in passages]

    records = evaluate(towns, oracle, sample=20, cache=tmp_path)
    assert len(records) == 20
    assert all(record["BM25 reranked"]["R@1"] == 1 for record in records)
    (tmp_path / "set-towns.json").write_text(json.dumps(records))
    result = report(tmp_path)
    assert result["BM25 R@1"]["average"]["after"] == 1
    assert "towns | " in table(result)


def test_only_english_rows_are_read(tmp_path):
    row = {"query": "q", "positive": "p", "title": None, "answer": "a", "source": "s", "lang": "en"}
    (tmp_path / "some.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "lang": "ja"}) + "\n")
    assert read_rows(tmp_path) == [Row("q", "p", "", "a", "some")]


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


def test_a_long_passage_is_cut_at_its_end_and_keeps_its_last_separator(tokenizer):
    ((query, passage),) = Texts.from_file(tokenizer).pairs("a b", ["c d e f g h i j"], limit=10)
    assert query == [1, 4, 5, 2]
    assert passage == [1, 6, 7, 8, 9, 2]


def test_a_training_group_begins_with_the_positive(tokenizer):
    question = Question("a", Passage("", "b"), tuple(Passage("", word) for word in "cdefghij"), "s")
    drawn = group(question, Texts.from_file(tokenizer), random.Random(0))
    assert drawn[0] == ([1, 4, 2], [1, 5, 2])
    assert len(drawn) == 4  # eight negatives are all among the hardest, and three of those are drawn
    assert [1, 5, 2] not in [passage for _, passage in drawn[1:]]


@torch.inference_mode()
def test_an_exported_model_scores_as_it_did(model, pairs, tokenizer, tmp_path):
    export(model.state_dict(), CONFIG, tokenizer, tmp_path / "out")
    assert (load(tmp_path / "out")(pairs) - model(pairs)).abs().max() < 0.02  # float16
    settings = json.loads((tmp_path / "out" / "config.json").read_text())
    assert settings["model_type"] == "nvrerank_two_segment"
    saved = json.loads((tmp_path / "out" / "tokenizer.json").read_text())
    assert saved["padding"] is saved["truncation"] is None


def test_averaging_checkpoints_weighs_them():
    one, two = {"w": torch.tensor([0.0, 4.0])}, {"w": torch.tensor([8.0, 4.0])}
    assert average([one, two], [0.25, 0.75])["w"].tolist() == [6.0, 4.0]


def test_metrics_agree_with_those_of_ir_measures():
    ir = pytest.importorskip("ir_measures")
    chance = random.Random(0)
    for _ in range(20):
        ids = [f"p{n}" for n in range(30)]
        ranking, relevant = chance.sample(ids, 15), set(chance.sample(ids, chance.randint(1, 4)))
        run = {"q": {one: float(-place) for place, one in enumerate(ranking)}}
        asked = [ir.R @ 1, ir.R @ 5, ir.nDCG @ 10]
        theirs = ir.calc_aggregate(asked, {"q": dict.fromkeys(relevant, 1)}, run)
        assert list(measure(ranking, relevant).values()) == pytest.approx([theirs[one] for one in asked])
