"""The model that is in the wheel: complete, small enough, and right on plain questions."""

import json

import pytest
import torch
from safetensors.torch import load_file

from nvrerank import LocalScorer

from .conftest import SHARED

FOLDER = SHARED / "nvrerank" / "local" / "embedded"
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
    assert (FOLDER / "model.safetensors").stat().st_size <= 48_000_000
    assert all(tensor.isfinite().all() for tensor in load_file(FOLDER / "model.safetensors").values())


def test_the_folder_names_its_model_type_and_brings_its_card():
    assert json.loads((FOLDER / "config.json").read_text())["model_type"] == "nvrerank_two_segment"
    assert "MS MARCO" in (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
