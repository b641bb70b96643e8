import shutil

import pytest

from demo import embedding
from demo.errors import DemoError

TEXTS = ["How do I stop a loop?", "The break statement leaves the loop.", "Cats sleep most of the day."]


@pytest.mark.slow
def test_vectors_have_length_1_mean_something_and_are_kept(tmp_path):
    vectors = embedding.embed(TEXTS, tmp_path)
    question, answer, other = (vectors[text] for text in TEXTS)
    assert cosine(question, question) == pytest.approx(1, abs=1e-5)
    assert cosine(question, answer) > cosine(question, other) + 0.2
    shutil.rmtree(tmp_path / "minilm")
    assert embedding.kept(TEXTS, tmp_path).exists()
    assert embedding.embed(TEXTS, tmp_path) == vectors
    assert not (tmp_path / "minilm").exists()


def test_other_texts_are_kept_elsewhere(tmp_path):
    assert embedding.kept(TEXTS, tmp_path) != embedding.kept(TEXTS[:2], tmp_path)


def test_a_missing_model_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "PACKAGE", "no_such_package")
    with pytest.raises(DemoError, match=r"pip install '\.\[demo\]'"):
        embedding.embed(TEXTS, tmp_path)


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))
