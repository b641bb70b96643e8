"""Workers of one torch thread each: the same scores as one team's, and nothing else of torch's changed."""

from __future__ import annotations

import os
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.running import ERRORS, SmallMemory, pairs_of

from nvrerank import LocalScorer, RequestRejectedError
from nvrerank.local.runner import BatchRunner, Workers, by_token_budget, share_of_budget, workers

LENGTHS = [3, 100, 40, 1, 130, 90, 20, 60, 128, 77]


@pytest.fixture(scope="module")
def three() -> Workers:
    return Workers(3)


@pytest.fixture
def runner(three):
    return BatchRunner(64, progress=False, workers=lambda: three)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Watched:
    """A model whose score is the length; notes who computed, with how many torch threads."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def __call__(self, batch):
        self.seen.append((threading.current_thread().name, torch.get_num_threads()))
        return torch.tensor([float(len(pair.ids)) for pair in batch])


def test_workers_share_the_batches_and_scores_come_back_in_input_order(runner):
    model = Watched()
    assert runner.run(model, pairs_of(*LENGTHS), lambda: False) == LENGTHS
    assert len(model.seen) > 3
    assert all(name.startswith("nvrerank-core") and threads == 1 for name, threads in model.seen)


def test_a_single_pair_has_all_of_torchs_threads_behind_it(runner, two_threads):
    model = Watched()
    assert runner.run(model, pairs_of(200), lambda: False) == [200]
    assert model.seen == [(threading.current_thread().name, 2)]


def test_other_threads_keep_their_number_of_torch_threads(two_threads):
    assert workers().submit(torch.get_num_threads).result() == 1
    assert torch.get_num_threads() == 2
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 2


def test_the_crew_has_as_many_workers_as_torch_may_use_threads(two_threads):
    assert workers().size == 2
    torch.set_num_threads(3)
    assert workers().size == 3


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
def test_memory_that_runs_out_in_a_worker_loses_nothing(runner, error):
    model = SmallMemory(140, error)
    runner.budget = 400
    assert runner.run(model, pairs_of(*LENGTHS * 4), lambda: False) == LENGTHS * 4
    assert runner.budget <= 200


def test_a_pair_that_does_not_fit_even_alone_is_named(runner):
    with pytest.raises(RequestRejectedError, match=r"passages\[4\]: 130 tokens"):
        runner.run(SmallMemory(129, MemoryError()), pairs_of(*LENGTHS), lambda: False)


def test_a_pair_that_fits_once_the_others_are_done_is_scored(runner):
    both = threading.Barrier(2)
    refused: list[int] = []

    def model(batch):
        lengths = [len(pair.ids) for pair in batch]
        if lengths == [300] and not refused:
            refused.extend(lengths)
            both.wait(5)  # the other worker is at its batch
            raise MemoryError
        if lengths == [299]:
            both.wait(5)
        return torch.tensor([float(length) for length in lengths])

    assert runner.run(model, pairs_of(300, 299, 5, 6, 7, 200), lambda: False) == [300, 299, 5, 6, 7, 200]
    assert refused == [300]


def test_an_error_of_the_model_ends_the_call_with_nothing_under_way(runner):
    running: list[int] = []

    def model(batch):
        running.append(1)
        try:
            if len(batch[0].ids) == 130:
                raise RuntimeError("shapes differ")
            return torch.zeros(len(batch))
        finally:
            running.pop()

    with pytest.raises(RuntimeError, match="shapes differ"):
        runner.run(model, pairs_of(*LENGTHS * 10), lambda: False)
    assert running == []


def test_a_stopped_call_hands_out_no_more_batches(runner):
    model = Watched()
    with pytest.raises(CancelledError):
        runner.run(model, pairs_of(*LENGTHS * 50), lambda: len(model.seen) > 2)
    assert len(model.seen) <= 12


def test_calls_at_once_get_their_own_scores(runner):
    calls = [[length + number for length in LENGTHS] for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda lengths: runner.run(Watched(), pairs_of(*lengths), lambda: False), calls)
    assert list(answers) == calls


def test_the_bundled_model_scores_alike_with_workers_and_without(two_threads):
    passages = [f"Passage {number} speaks of {'iterators ' * number}." for number in range(1, 60)]
    together = LocalScorer(device="cpu", dtype="float32").score("what is an iterator?", passages)
    torch.set_num_threads(1)
    assert together == pytest.approx(
        LocalScorer(device="cpu", dtype="float32").score("what is an iterator?", passages), abs=1e-5
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_has_workers_of_its_own(two_threads):
    workers().submit(int).result()  # the parent's threads are there
    child = os.fork()
    if child == 0:
        os._exit(0 if workers().submit(torch.get_num_threads).result(10) == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_plan_begins_with_the_longest_and_keeps_the_order_of_equal_ones():
    assert by_token_budget([3, 9, 1, 4], 8) == [[1], [3, 0, 2]]
    assert by_token_budget([2, 2, 2], 4) == [[0, 1], [2]]


@given(st.lists(st.integers(0, 100), max_size=60), st.integers(1, 200))
def test_every_plan_covers_each_pair_once_within_its_budget(lengths, budget):
    plan = by_token_budget(lengths, budget)
    assert sorted(position for batch in plan for position in batch) == list(range(len(lengths)))
    assert all(plan)
    for batch in plan:
        assert sum(lengths[position] for position in batch) <= budget or len(batch) == 1


@pytest.mark.parametrize(
    ("total", "workers", "share"),
    [(100_000, 2, 512), (2_000, 2, 250), (2_001, 2, 251), (100, 2, 128), (100_000, 64, 391), (40, 1, 128)],
)
def test_every_worker_gets_about_four_batches_of_a_sensible_size(total, workers, share):
    assert share_of_budget(total, 512, workers) == share


def test_many_batches_are_as_many_for_each_worker():
    lengths = [150 + 37 * number % 120 for number in range(100)]
    plan = by_token_budget(lengths, share_of_budget(sum(lengths), 2048, 2))
    assert len(plan) % 2 == 0
    assert len(by_token_budget(lengths, 2048)) % 2, "with the whole budget one worker has a batch more"


def test_a_small_budget_is_kept():
    assert share_of_budget(100_000, 50, 2) == 50
