import numpy as np
import pytest

from demo import retrieval
from demo.retrieval import embedded, hybrid

PASSAGES = ["the cat sleeps", "the dog barks", "a bird sings"]
QUESTION = "which bird sings to a cat"


def test_words_and_vectors_count_by_their_ranks():
    """By vectors: dog, bird, cat; by words: bird, cat, and the dog's has none."""
    vectors = np.array([[0.6, 0.8], [1, 0], [0.8, 0.6], [1, 0]], np.float32)
    found = hybrid(PASSAGES, [QUESTION], vectors, 2)[QUESTION]
    assert [place for place, _ in found] == [2, 1]
    assert [score for _, score in found] == pytest.approx([1 / 62 + 1 / 61, 1 / 61 + 1 / 63])


def test_control_by_vectors_alone_the_order_is_another():
    vectors = np.array([[1, 0], [0.6, 0.8], [0.8, 0.6], [1, 0]], np.float32)
    [first, *_] = hybrid(PASSAGES, ["nothing of them"], vectors, 3)["nothing of them"]
    assert first[0] == 0


def test_vectors_are_computed_once(tmp_path, monkeypatch):
    asked = []

    def compute(passages, questions):
        asked.append((passages, questions))
        return np.eye(4, dtype=np.float32)

    monkeypatch.setattr(retrieval, "_computed", compute)
    first, again = (embedded(PASSAGES, [QUESTION], tmp_path) for _ in range(2))
    assert (first == again).all()
    assert asked == [(PASSAGES, [QUESTION])]
    embedded(PASSAGES, ["another"], tmp_path)
    assert len(asked) == 2
