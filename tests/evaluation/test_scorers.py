import shutil
from pathlib import Path

import pytest
from support.checkpoints import write_cross_encoder
from support.evaluation import Counting

import nvrerank
from nvrerank.evaluation import Task, evaluate
from nvrerank.evaluation.scorers import NamedScorer, named_scorers
from nvrerank.evaluation.scoring import scored

TASK = Task("mine", {"q": "cat"}, {"a": "dog", "b": "cat"}, {"q": {"b": 1}})


def identity(scorers, **options):
    [named] = named_scorers(scorers, **{"device": None, "max_length": None, **options})
    return named.identity


def test_a_local_folder_is_known_by_what_is_in_it(tmp_path):
    folder = write_cross_encoder(tmp_path / "model", "bert")
    before = identity([f"local:{folder}"])
    assert identity([f"local:{folder}"]) == before
    config = Path(folder) / "config.json"
    config.write_text(config.read_text() + " ")
    assert identity([f"local:{folder}"]) != before


def test_what_changes_a_score_changes_what_scores_are_kept_under():
    assert identity(["bundled"], max_length=100) != identity(["bundled"])
    assert identity(["bundled"], device="cpu") == identity(["bundled"], device="cpu")


def test_an_address_and_a_model_of_a_server_are_part_of_it():
    urls = ["hosted:m@http://one:8000/v1", "hosted:m@http://two:8000/v1", "hosted:n@http://one:8000/v1"]
    assert len({str(identity([url])) for url in urls}) == 3


def test_a_scorer_object_is_known_by_label_class_and_name():
    assert identity([Counting()]) == identity([Counting()])
    assert identity({"one": Counting()}) != identity({"two": Counting()})


@pytest.mark.parametrize("wrapped", [lambda scorer: scorer, nvrerank.Windowed], ids=["alone", "in another"])
def test_a_local_scorer_object_is_known_by_what_is_in_its_folder_too(tmp_path, wrapped):
    one, other = (Path(write_cross_encoder(tmp_path / name / "model", "bert")) for name in "ab")
    first = wrapped(nvrerank.LocalScorer(one))
    second = wrapped(nvrerank.LocalScorer(other))
    assert repr(first) == repr(second), "only the files tell them apart"
    assert identity([first]) == identity([second])
    kept = identity([second])
    config = other / "config.json"
    config.write_text(config.read_text() + " ")  # trained on, and saved in the same place
    assert identity([second]) != kept


def test_scores_that_depend_on_the_list_or_on_who_answers_are_not_kept(tmp_path):
    counting = Counting()
    for scorer in (nvrerank.Cascade(counting, counting), nvrerank.Fallback(counting, counting)):
        assert identity([scorer]) is None
        for _ in range(2):
            before = len(counting.seen)
            evaluate(TASK, scorers=[scorer], out=tmp_path / "out")
            assert len(counting.seen) > before
    assert not (tmp_path / "out" / "scores").exists()


@pytest.mark.parametrize("options", [{"retrievers": ["bm25", "run:x"]}, {"fuse": ["rrf"]}], ids=str)
def test_a_cascade_is_measured_with_one_retriever_and_without_fusion(options):
    cascade = nvrerank.Cascade(Counting(), Counting(), keep=1)
    with pytest.raises(ValueError, match="depend on the other passages of the list"):
        evaluate(TASK, scorers=[cascade], **options)


def test_a_label_is_given_to_whatever_makes_a_scorer():
    named = named_scorers(
        {"small": "bundled", "chosen": {"cascade": {"cheap": "bundled", "strong": "bundled"}}},
        device="cpu",
        max_length=None,
    )
    assert [(one.label, one.ours) for one in named] == [("small", True), ("chosen", True)]
    [alone] = named_scorers([{"bundled": {"max_length": 64}}], device=None, max_length=None)
    assert alone.label == '{"bundled": {"max_length": 64}}'


def test_a_local_model_is_really_used(tmp_path):
    folder = write_cross_encoder(tmp_path / "model", "bert")
    spec = f"local:{folder}"
    report = evaluate(TASK, scorers=[spec], out=tmp_path / "out")
    assert [row.pipeline for row in report.rows] == ["bm25", f"bm25 + {spec}"]
    kept = next((tmp_path / "out" / "scores").iterdir()).read_text()
    [score] = nvrerank.LocalScorer(folder).score("cat", ["cat"])
    assert f'"b": {score!r}' in kept
    shutil.rmtree(folder)
    with pytest.raises(nvrerank.ModelLoadError, match="is not a folder"):
        evaluate(TASK, scorers=[spec])


def test_a_model_that_cannot_be_read_is_refused_before_another_has_scored(tmp_path):
    whole = write_cross_encoder(tmp_path / "whole", "bert")
    broken = write_cross_encoder(tmp_path / "broken", "bert")
    (Path(broken) / "config.json").write_text("{")
    with pytest.raises(nvrerank.ModelLoadError, match=r"config\.json"):
        evaluate(TASK, scorers=[f"local:{whole}", f"local:{broken}"], out=tmp_path / "out")
    assert not (tmp_path / "out" / "scores").exists()


def test_a_model_is_loaded_only_where_a_score_is_missing(tmp_path):
    loaded: list[str] = []
    model = NamedScorer("m", Counting(), {"made": "m"}, load=lambda: loaded.append("m"))
    found = {"bm25": {"mine": {"q": {"b": 1.0}}}}
    first = scored([TASK], found, [model], tmp_path, progress=False)
    assert loaded == ["m"]
    assert scored([TASK], found, [model], tmp_path, progress=False) == first
    assert loaded == ["m"]
