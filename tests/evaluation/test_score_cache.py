import json

import pytest

from nvrerank.evaluation import DataError, Task
from nvrerank.evaluation.score_cache import ScoreCache

PASSAGES = {"a": "one", "b": "two"}
QUERIES = {"q1": "what?", "q2": "who?"}


def task(queries=QUERIES, passages=PASSAGES):
    return Task("toy", queries, passages, {query: {"a": 1} for query in queries})


def store(folder, identity="m", **changes):
    return ScoreCache(folder, task(**changes), "local:some/model", {"made": identity})


def filled(folder):
    with store(folder) as one:
        one.add([("q1", {"a": 0.1, "b": -7.25}), ("q2", {"a": 1e-300})])
        one.add([("q2", {"b": 2.0})])
    return one.path


def kept(one):
    return {query: dict(one.scores(query)) for query in QUERIES}


ALL = {"q1": {"a": 0.1, "b": -7.25}, "q2": {"a": 1e-300, "b": 2.0}}


def test_scores_come_back_bit_by_bit(tmp_path):
    assert filled(tmp_path).name.startswith("toy.local_some_model.")
    assert kept(store(tmp_path)) == ALL


def test_nothing_is_written_before_there_is_a_score(tmp_path):
    with store(tmp_path / "new"):
        pass
    assert not (tmp_path / "new").exists()


def test_a_line_torn_at_any_byte_loses_that_line_only_and_writing_goes_on(tmp_path):
    path = filled(tmp_path)
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])
        with store(tmp_path) as one:
            assert kept(one) == {"q1": ALL["q1"], "q2": {"a": 1e-300}}
            one.add([("q2", {"b": 2.0})])
        assert path.read_bytes() == whole


def test_a_file_torn_in_its_first_line_is_begun_anew(tmp_path):
    path = filled(tmp_path)
    path.write_bytes(path.read_bytes()[:20])
    with store(tmp_path) as one:
        assert kept(one) == {"q1": {}, "q2": {}}
        one.add([("q1", {"a": 1.0})])
    assert "passages" in json.loads(path.read_text().splitlines()[0])
    assert kept(store(tmp_path))["q1"] == {"a": 1.0}


def test_a_broken_line_before_the_last_is_named(tmp_path):
    path = filled(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0\0\0\n" + lines[2])
    with pytest.raises(DataError, match=r"jsonl:2: a broken line among kept scores"):
        store(tmp_path)


@pytest.mark.parametrize("changes", [{"identity": "other"}, {"passages": {**PASSAGES, "b": "2"}}])
def test_another_model_or_corpus_has_a_file_of_its_own(tmp_path, changes):
    filled(tmp_path)
    other = store(tmp_path, **changes)
    assert kept(other) == {"q1": {}, "q2": {}}


def test_a_query_of_another_text_is_scored_anew_the_others_stay(tmp_path):
    filled(tmp_path)
    assert kept(store(tmp_path, queries={**QUERIES, "q2": "whom?"})) == {"q1": ALL["q1"], "q2": {}}


def test_without_a_folder_scores_are_in_memory_only():
    with store(None) as one:
        one.add([("q1", {"a": 1.0})])
    assert (one.path, kept(one)["q1"]) == (None, {"a": 1.0})
