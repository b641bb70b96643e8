"""A worker in a process of its own, with an engine that needs no library; replicas."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.local import pool
from bench.local.engines.base import Engine, PairEngine, Setup, in_batches
from bench.local.engines.replicas import Replicas
from bench.local.pool import WorkerError, WorkerProcess

SETUP = Setup("nowhere", "{query}", "{passage}", 512)
GROUPS = [("q", ["a", "bbbb", "cc"]), ("qq", []), ("query", ["ddd"])]


class ByLength(PairEngine):
    """Scores a pair by its characters; keeps what it was asked."""

    def __init__(self):
        super().__init__(SETUP)
        self.asked = []

    def score_pairs(self, pairs):
        self.asked += pairs
        return [10 * len(query) + len(text) for query, text in pairs]


def test_pairs_of_all_queries_go_over_at_once_and_come_back_by_query():
    assert ByLength().score(GROUPS) == [[11, 14, 12], [], [53]]


def test_replicas_score_as_one_and_share_the_work():
    replicas = [ByLength(), ByLength()]
    assert Replicas(replicas).score(GROUPS) == ByLength().score(GROUPS)
    assert [len(one.asked) for one in replicas] == [2, 2]


def test_batches_longest_first_come_back_in_place():
    seen = []

    def run(places):
        seen.append(places)
        return [float(place) for place in places]

    assert in_batches([3, 9, 5], {"batch_size": 2, "by_length": True}, run) == [0, 1, 2]
    assert seen == [[1, 2], [0]]
    assert in_batches([3, 9, 5], {"batch_size": 2}, run) == [0, 1, 2]
    assert seen[2:] == [[0, 1], [2]]


def test_an_engine_that_has_nothing_to_tell_names_a_missing_package():
    class Missing(ByLength):
        packages = ("no-such-package",)

    assert Missing().about() == {"versions": {"no-such-package": "absent"}}
    assert isinstance(Missing(), Engine)


def test_a_peer_keeps_its_own_defaults_of_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("KEPT", "yes")
    assert "OMP_NUM_THREADS" not in pool.environment({})
    assert pool.environment({})["KEPT"] == "yes"
    assert pool.environment({"OMP_NUM_THREADS": "1"})["OMP_NUM_THREADS"] == "1"


def test_an_environment_that_is_not_there_is_named(tmp_path):
    with pytest.raises(WorkerError, match=r"\.venv-peers is missing"):
        WorkerProcess(pool.python_of(".venv-peers", tmp_path), {}, tmp_path / "log")


def test_a_worker_says_why_it_failed_and_lives_on(tmp_path):
    with WorkerProcess(Path(sys.executable), {}, tmp_path / "log") as worker:
        spec = {"engine": "nobody.Nobody", "setup": vars(SETUP)}
        for _twice in range(2):
            with pytest.raises(WorkerError, match=r"ModuleNotFoundError: No module named .*nobody"):
                worker.ask(spec)


@pytest.mark.slow
def test_a_worker_scores_what_it_was_handed(tmp_path):
    options = {"hidden": 64, "intermediate": 64}
    spec = {"engine": "gemm.Gemm", "setup": {**vars(SETUP), "options": options}}
    with WorkerProcess(Path(sys.executable), {}, tmp_path / "log") as worker:
        assert set(worker.ask(spec)["versions"]) == {"torch"}
        worker.ask({"do": "load", "workload": "w", "groups": GROUPS})
        reply = worker.ask({"do": "score", "workload": "w", "settings": {}})
    assert [rate > 0 for rate in reply["scores"][0]] == [True] * 3  # float32, bfloat16, int8
    assert reply["seconds"] > 0
