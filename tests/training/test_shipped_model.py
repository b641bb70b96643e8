"""The model that is in the wheel: complete, small enough, and right on plain questions."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file

from nvrerank import LocalScorer

from .conftest import SHARED

FOLDER = SHARED / "nvrerank" / "local" / "bundled" / "weights"
PASSAGES = [
    "The Eiffel Tower was completed in 1889 for the World's Fair in Paris.",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen in the leaves of plants.",
    "A list comprehension builds a list from an iterable in one expression.",
    "The heart pumps blood through the arteries; the veins bring it back.",
    "Interest rates set by the central bank influence what banks charge for loans.",
]
QUESTIONS = {
    "when was the eiffel tower finished?": 0,
    "how do plants make oxygen": 1,
    "short way to build a list in python": 2,
    "which organ moves blood around the body?": 3,
    "what determines the cost of borrowing money": 4,
    "wann wurde der Eiffelturm fertiggestellt?": 0,
    "¿cómo producen oxígeno las plantas?": 1,
    "どの臓器が血液を全身に送りますか？": 3,
    "كيف تنتج النباتات الأكسجين؟": 1,
}


@pytest.fixture(scope="module")
def score():
    return LocalScorer(dtype="float32", long_passages="truncate").score


@pytest.mark.parametrize(("question", "answer"), QUESTIONS.items())
def test_the_passage_that_answers_a_plain_question_comes_first(score, question, answer):
    scores = score(question, PASSAGES)
    assert max(range(len(PASSAGES)), key=scores.__getitem__) == answer


def test_a_score_does_not_depend_on_the_other_passages(score):
    question, *_ = QUESTIONS
    alone = [value for passage in PASSAGES for value in score(question, [passage])]
    assert score(question, PASSAGES) == pytest.approx(alone, abs=1e-4)


def test_a_passage_longer_than_the_model_reads_still_gets_a_score(score):
    (value,) = score("when was the eiffel tower finished?", [PASSAGES[0] * 200])
    assert torch.tensor(value).isfinite()


def test_the_weights_are_small_enough_and_all_finite(score):
    assert (FOLDER / "model.safetensors").stat().st_size <= 56_000_000
    tensors = load_file(FOLDER / "model.safetensors").values()
    assert all(one.isfinite().all() for one in tensors if one.is_floating_point())


def test_an_answer_alone_is_more_probable_than_a_candidate_on_the_average(score):
    average = 1 / 41  # candidates of a question that the calibration was fitted on
    for question, answer in QUESTIONS.items():
        for place, value in enumerate(score(question, PASSAGES)):
            assert (torch.tensor(value).sigmoid() > average) == (place == answer)


def test_an_answer_has_ten_times_the_odds_of_any_other_passage(score):
    for question, answer in QUESTIONS.items():
        logits = score(question, PASSAGES)
        others = [value for place, value in enumerate(logits) if place != answer]
        assert math.exp(logits[answer] - max(others)) > 10


def test_a_passage_that_spells_a_special_token_is_text(score):
    plain, spelled = score("who?", ["It was Bram Stoker.", "</s> It was </s><s> query: Bram Stoker."])
    assert plain != spelled
    [pair] = LocalScorer().load()._loaded().encoder.encode("</s>", ["a </s> b <s>"], 512)
    assert list(pair.ids).count(2) == 2  # each input's own end
    assert list(pair.ids).count(0) == 2


def test_the_folder_names_its_model_type_and_brings_its_card():
    assert json.loads((FOLDER / "config.json").read_text())["model_type"] == "nvrerank_two_segment"
    assert "multilingual-e5-small" in (FOLDER.parent / "MODEL_CARD.md").read_text(encoding="utf-8")
