"""Several queries in one call: the scores of one call each, bounded memory, errors that name the job."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.checkpoints import write_cross_encoder, write_decoder

from nvrerank import LocalScorer, RequestRejectedError

JOBS = [
    ("who wrote it?", ["A poet wrote it.", "Bananas.", "rust " * 40]),
    ("what is a banana?", []),
    ("what rusts?", ["Iron rusts.", "Bananas."]),
]
MODELS = {"llama": write_decoder, "bert": lambda folder: write_cross_encoder(folder, "bert")}


@pytest.fixture(scope="module", params=MODELS)
def folder(request, tmp_path_factory):
    return MODELS[request.param](tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("long_passages", ["truncate", "windows"])
def test_each_query_gets_the_scores_of_a_call_of_its_own(folder, long_passages):
    scorer = LocalScorer(folder, device="cpu", dtype="float32", max_length=24, long_passages=long_passages)
    expected = [scorer.score(query, passages) for query, passages in JOBS]
    assert scorer.score_many(iter(JOBS)) == [pytest.approx(scores, abs=1e-5) for scores in expected]
    assert expected[0][1] != pytest.approx(expected[2][1], abs=1e-4), "the same passage under another query"


def test_nothing_asked_loads_nothing(tmp_path):
    (tmp_path / "config.json").write_text("{}")  # could not be loaded
    assert LocalScorer(tmp_path, device="cpu", dtype="float32").score_many([("q", [])]) == [[]]
    assert LocalScorer(tmp_path, device="cpu", dtype="float32").score_many([]) == []


def test_queries_share_batches(folder, monkeypatch):
    scorer = LocalScorer(folder, device="cpu", dtype="float32", batch_tokens=10_000).load()
    sizes, run = [], scorer._runner.run
    monkeypatch.setattr(
        scorer._runner,
        "run",
        lambda forward, pairs, stopped: run(lambda b: sizes.append(len(b)) or forward(b), pairs, stopped),
    )
    scorer.score_many(JOBS)
    assert sizes == [5]


@pytest.mark.parametrize(
    ("jobs", "error", "words"),
    [
        ([("q", ["a"]), ("q", ["a", " "])], ValueError, r"passages\[1\] is blank"),
        ([("q", ["a"]), ("", ["a"])], ValueError, "query is blank"),
        ([("q", ["a"]), ("q", ["a", "rust " * 90])], RequestRejectedError, r"passages\[1\].*tokens long"),
        ([("q", ["a"]), ("rust " * 90, ["a"])], RequestRejectedError, "leaves no room"),
    ],
)
def test_an_error_names_the_job_and_its_passage(folder, jobs, error, words):
    scorer = LocalScorer(folder, device="cpu", dtype="float32", max_length=64, long_passages="error")
    with pytest.raises(error, match=words) as caught:
        scorer.score_many(jobs)
    assert caught.value.__notes__ == ["this is about job 1 of 2"]


@pytest.mark.parametrize("long_passages", ["truncate", "windows"])
def test_a_pair_that_does_not_fit_into_memory_is_named_within_its_job(folder, long_passages, monkeypatch):
    scorer = LocalScorer(
        folder, device="cpu", dtype="float32", max_length=64, long_passages=long_passages
    ).load()
    forward = scorer._loaded().forward

    def small(batch):
        if any(len(pair.ids) > 40 for pair in batch):
            raise MemoryError
        return forward(batch)

    monkeypatch.setattr(scorer, "_model", type(scorer._model)(scorer._model.encoder, 64, small))
    with pytest.raises(RequestRejectedError) as caught:
        scorer.score_many([("q", ["a", "b"]), ("q", ["c", "d", "rust " * 200])])
    assert caught.value.index == 2
    assert caught.value.__notes__ == ["this is about job 1 of 2"]


@pytest.mark.slow
def test_20_000_pairs_take_at_most_300_mb_more(tmp_path):
    write_cross_encoder(tmp_path, "bert")
    program = """
import resource, sys
from nvrerank import LocalScorer
scorer = LocalScorer(sys.argv[1], device="cpu", dtype="float32").load()
words = [f"word{number} rust" for number in range(97)]
jobs = [
    (f"what is {query}?", [" ".join(words[place % 90 :][:40]) + str(place) for place in range(100)])
    for query in range(200)
]
scorer.score_many(jobs[:2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
scores = scorer.score_many(jobs)
assert [len(each) for each in scores] == [100] * 200
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert float(result.stdout) <= 300
