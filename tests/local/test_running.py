"""Memory that runs out halves the batch; one pair that does not fit is an error with its index."""

from __future__ import annotations

import pytest
from support.running import ERRORS, SmallMemory, pairs_of

from nvrerank import RequestRejectedError
from nvrerank.local.running import BatchRunner


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
