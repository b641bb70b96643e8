"""Memory that runs out halves the batch; one pair that does not fit is an error with its index.

Whatever else a model raises is an error of ours, too.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError

import pytest
import torch
from support.checkpoints import write_decoder
from support.running import ERRORS, SmallMemory, pairs_of

from nvrerank import (
    LocalScorer,
    ModelLoadError,
    PassthroughWarning,
    RequestRejectedError,
    ScoringError,
    rerank,
)
from nvrerank.local.runner import BatchRunner


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
def test_running_out_of_memory_halves_the_batch_and_remembers(error):
    model, runner = SmallMemory(10, error), BatchRunner(64, progress=False)
    lengths = [3, 1, 4, 1, 5, 9, 2, 6]
    assert runner.run(model, pairs_of(*lengths), lambda: False) == lengths
    assert runner.budget <= 15
    failed = len(model.batches)
    assert runner.run(model, pairs_of(*lengths), lambda: False) == lengths
    later = model.batches[failed:]
    assert all(sum(batch) <= 15 for batch in later), "the smaller budget is kept for the next call"


def test_one_pair_that_does_not_fit_is_an_error_with_its_index():
    runner = BatchRunner(64, progress=False)
    with pytest.raises(
        RequestRejectedError, match=r"passages\[2\]: 12 tokens do not fit into memory"
    ) as caught:
        runner.run(SmallMemory(10, ERRORS["cpu"]), pairs_of(3, 4, 12), lambda: False)
    assert caught.value.index == 2


def test_any_other_error_of_the_model_is_not_taken_for_memory():
    runner = BatchRunner(64, progress=False)
    with pytest.raises(RuntimeError, match="shapes"):
        runner.run(SmallMemory(0, RuntimeError("shapes differ")), pairs_of(3), lambda: False)
    assert runner.budget == 64


def test_batches_are_filled_longest_first():
    model = SmallMemory(100, MemoryError())
    BatchRunner(10, progress=False).run(model, pairs_of(3, 1, 4, 1, 5, 9, 2, 6), lambda: False)
    assert model.batches == [[9], [6], [5, 4], [3, 2, 1, 1]]


@pytest.fixture(params=["score", "ascore"])
def score(request):
    if request.param == "score":
        return lambda scorer, *call: scorer.score(*call)
    return lambda scorer, *call: asyncio.run(scorer.ascore(*call))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_decoder(tmp_path_factory.mktemp("model"))


def failing(folder, error):
    scorer = LocalScorer(folder, device="cpu", dtype="float32").load()

    def forward(_batch):
        raise error

    object.__setattr__(scorer._model, "forward", forward)
    return scorer


FAILURES = [
    RuntimeError("CUDA error: device-side assert triggered"),
    IndexError("index out of range in self"),
    ValueError("a segment has 1 to 512 tokens"),
    TypeError("forward() got an unexpected keyword argument"),
    NotImplementedError(),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_whatever_a_model_raises_is_an_error_of_ours_with_its_cause(folder, score, error):
    scorer = failing(folder, error)
    with pytest.raises(ScoringError, match=f"failed while scoring: {type(error).__name__}") as caught:
        score(scorer, "q", ["a", "b"])
    assert caught.value.__cause__ is error
    with pytest.warns(PassthroughWarning, match="failed while scoring"):
        assert [one.index for one in rerank(scorer, "q", ["a", "b"], on_error="passthrough")] == [0, 1]


@pytest.mark.parametrize(
    "error", [ModelLoadError("ours"), CancelledError(), KeyboardInterrupt(), UserWarning("made an error")]
)
def test_errors_of_ours_and_what_stops_a_call_stay_as_they_are(folder, error):
    with pytest.raises(type(error)) as caught:
        failing(folder, error).score("q", ["a"])
    assert caught.value is error


def test_a_score_that_cannot_be_fetched_from_the_device_is_an_error_of_ours(folder, score):
    class Lost(torch.Tensor):
        def tolist(self):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    scorer = LocalScorer(folder, device="cpu", dtype="float32").load()
    object.__setattr__(scorer._model, "forward", lambda batch: torch.zeros(len(batch)).as_subclass(Lost))
    with pytest.raises(ScoringError, match="illegal memory access"):
        score(scorer, "q", ["a"])


def test_a_tokenizer_that_fails_is_an_error_of_ours(folder, score):
    scorer = LocalScorer(folder, device="cpu", dtype="float32").load()
    scorer._model.encoder._encodings = lambda *_, **__: next(iter(()))
    with pytest.raises(ScoringError, match="StopIteration"):
        score(scorer, "q", ["a"])


def test_an_argument_of_the_wrong_type_stays_a_type_error(folder, score):
    with pytest.raises(TypeError, match=r"passages\[0\] must be a str"):
        score(failing(folder, RuntimeError()), "q", [None])
