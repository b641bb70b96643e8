"""A forked process scores as its parent, whatever the parent's threads were doing at that moment."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
import time

import pytest
import torch
from support.checkpoints import write_cross_encoder, write_decoder
from support.forks import HangError, in_child
from support.running import pairs_of
from tqdm.auto import tqdm

from nvrerank import LocalScorer, Windowed
from nvrerank.local.runner import BatchRunner, workers
from nvrerank.per_process import gate

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

QUERY = "who mended the roof?"
PASSAGES = ["The roof was mended by Ada.", "Bananas are rich in potassium.", "Iron rusts."]
MANY = [f"{passage} {number}" for number in range(40) for passage in PASSAGES]


@pytest.fixture(autouse=True)
def two_threads():
    """Torch has a team, whatever the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def expected():
    return LocalScorer(device="cpu", dtype="float32").score(QUERY, PASSAGES)


STATES = {
    "not loaded": lambda _scorer: None,
    "loaded": lambda scorer: scorer.load(),
    "used for one passage": lambda scorer: scorer.score(QUERY, PASSAGES[:1]),
    "used for 120 passages": lambda scorer: scorer.score(QUERY, MANY),
    "used from an event loop": lambda scorer: asyncio.run(scorer.ascore(QUERY, PASSAGES)),
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
def test_a_child_scores_as_its_parent(state, expected, capfd):
    scorer = LocalScorer(device="cpu", dtype="float32")
    state(scorer)
    one, three = in_child(lambda: (scorer.score(QUERY, PASSAGES[:1]), scorer.score(QUERY, PASSAGES)))
    assert one == pytest.approx(expected[:1], abs=1e-5)
    assert three == pytest.approx(expected, abs=1e-5)
    assert capfd.readouterr().err == ""


def test_a_child_scores_many_passages_and_from_an_event_loop_too(expected):
    scorer = LocalScorer(device="cpu", dtype="float32")
    many = scorer.score(QUERY, MANY)
    found, waited = in_child(lambda: (scorer.score(QUERY, MANY), asyncio.run(scorer.ascore(QUERY, PASSAGES))))
    assert found == pytest.approx(many, abs=1e-5)
    assert waited == pytest.approx(expected, abs=1e-5)


def test_control_torchs_own_team_does_not_survive():
    matrix = torch.ones(600, 600)
    torch.mm(matrix, matrix)
    with pytest.raises(HangError):
        in_child(lambda: torch.mm(matrix, matrix).sum().item(), seconds=1.5)


BUSY = {
    "scoring": lambda scorer: scorer.score(QUERY, MANY),
    "scoring one": lambda scorer: scorer.score(QUERY, PASSAGES[:1]),
    "counting": lambda scorer: scorer.token_counter(QUERY).counts(MANY),
    "loading": lambda _scorer: LocalScorer(device="cpu", dtype="float32").load(),
}


@pytest.mark.parametrize("busy", BUSY.values(), ids=BUSY.keys())
def test_a_child_scores_while_another_thread_of_the_parent_is_busy(busy, expected):
    scorer = LocalScorer(device="cpu", dtype="float32").load()
    stop = threading.Event()

    def work():
        while not stop.is_set():
            busy(scorer)

    other = threading.Thread(target=work)
    other.start()
    try:
        for _ in range(4):
            time.sleep(0.03)
            assert in_child(lambda: scorer.score(QUERY, PASSAGES)) == pytest.approx(expected, abs=1e-5)
    finally:
        stop.set()
        other.join()


def test_a_child_loads_what_another_thread_of_the_parent_was_loading(expected):
    scorer = LocalScorer(device="cpu", dtype="float32")
    other = threading.Thread(target=scorer.load)
    other.start()
    found = in_child(lambda: scorer.score(QUERY, PASSAGES))
    other.join()
    assert found == pytest.approx(expected, abs=1e-5)


def test_no_lock_that_was_held_in_the_parent_is_held_in_the_child(expected):
    scorer = LocalScorer(device="cpu", dtype="float32", progress=True).load()
    locks = [scorer._loading.get(), scorer._tokenizing.get(), scorer._runner._inline._turn.get()]
    held, done = threading.Event(), threading.Event()

    def hold():
        with locks[0], locks[1], locks[2], tqdm.get_lock():
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    try:
        assert in_child(lambda: scorer.score(QUERY, PASSAGES)) == pytest.approx(expected, abs=1e-5)
    finally:
        done.set()
        holder.join()


def test_a_childs_workers_are_as_many_as_the_parents_and_single_threaded():
    def look():
        BatchRunner(64, progress=False).run(lambda _: torch.zeros(1), pairs_of(3), lambda: False)
        return workers().size, workers().submit(torch.get_num_threads).result(), torch.get_num_threads()

    assert in_child(look) == (2, 1, 1)
    assert torch.get_num_threads() == 2


def test_a_child_that_was_told_to_use_one_thread_has_one_worker():
    def look():
        torch.set_num_threads(1)
        return workers().size

    assert in_child(look) == 1


def test_a_childs_child_scores_too(expected):
    scorer = LocalScorer(device="cpu", dtype="float32").load()
    both = in_child(lambda: (scorer.score(QUERY, PASSAGES), in_child(lambda: scorer.score(QUERY, PASSAGES))))
    assert both == (pytest.approx(expected, abs=1e-5), pytest.approx(expected, abs=1e-5))


@pytest.mark.parametrize("kind", ["llama", "bert", "modernbert"])
def test_tokenizers_that_were_told_to_use_threads_do_not_hang_in_a_child(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    folder = write_decoder(tmp_path) if kind == "llama" else write_cross_encoder(tmp_path, kind)
    scorer = Windowed(LocalScorer(folder, device="cpu", dtype="float32"), size=24)
    expected = scorer.score(QUERY, MANY)
    assert in_child(lambda: scorer.score(QUERY, MANY)) == pytest.approx(expected, abs=1e-5)


def test_a_fork_between_the_import_of_the_package_and_of_its_scorers_is_known():
    script = """
import os, sys
import nvrerank
child = os.fork()
if child == 0:
    from nvrerank.per_process import is_forked
    os._exit(0 if is_forked() else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


def test_a_pool_of_forked_processes_scores(expected):
    scorer = LocalScorer(device="cpu", dtype="float32")
    scorer.score(QUERY, MANY)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        calls = [pool.apply_async(scorer.score, (QUERY, PASSAGES)) for _ in range(4)]
        assert [call.get(timeout=30) for call in calls] == [pytest.approx(expected, abs=1e-5)] * 4


def test_a_fork_waits_for_the_batch_under_way_and_the_next_batch_for_the_fork():
    events: list[str] = []
    begun = threading.Event()

    def work():
        with gate:
            begun.set()
            time.sleep(0.2)
            events.append("first batch done")
        with gate:
            events.append("second batch")

    other = threading.Thread(target=work)
    other.start()
    begun.wait()
    gate.close()
    events.append("forked")
    gate.open()
    other.join()
    assert events == ["first batch done", "forked", "second batch"]


def test_a_thread_that_forks_from_within_does_not_wait_for_itself():
    with gate:
        assert in_child(lambda: "here") == "here"
