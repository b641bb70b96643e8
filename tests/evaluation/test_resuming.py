"""Stopped at any moment, an evaluation goes on: nothing lost, nothing scored twice."""

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from nvrerank.evaluation import Task, evaluate

QUERIES = {f"q{number}": f"cat number {number}" for number in range(12)}
PASSAGES = {f"p{number}": f"number {number} is a cat" for number in range(30)}
TASK = Task("many", QUERIES, PASSAGES, {query: {f"p{query[1:]}": 1} for query in QUERIES})

# Scores by a table, writes down each pair, and at its nth call ends itself, before it has scored.
SCRIPT = """
import json, os, signal, sys
from nvrerank import Scorer
from nvrerank.evaluation import Task, evaluate

calls_left, kill, log, out = int(sys.argv[1]), getattr(signal, sys.argv[2]), sys.argv[3], sys.argv[4]
task = Task("many", *json.load(sys.stdin))

class Noting(Scorer):
    name = "noting"

    def score(self, query, passages):
        global calls_left
        if calls_left == 0:
            os.kill(os.getpid(), kill)
        calls_left -= 1
        with open(log, "a") as stream:
            for passage in passages:
                stream.write(json.dumps([query, passage]) + "\\n")
        return [float(len(passage) + len(query) * int(passage.split()[1]) % 7) for passage in passages]

report = evaluate(task, scorers=[Noting()], top_k=10, out=out)
print(report.to_json())
"""


def start(calls, kill, tmp_path):
    given = json.dumps([dict(TASK.queries), dict(TASK.passages), dict(TASK.relevant)])
    log, out = str(tmp_path / "log"), str(tmp_path / "out")
    command = [sys.executable, "-c", SCRIPT, str(calls), kill, log, out]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("kill", "status"), [("SIGKILL", -signal.SIGKILL), ("SIGINT", -signal.SIGINT)])
def test_each_pair_is_scored_once_however_often_it_is_stopped(tmp_path, kill, status):
    for calls in (0, 5, 3):
        stopped = start(calls, kill, tmp_path)
        assert stopped.returncode == status, stopped.stderr
    [kept] = (tmp_path / "out" / "scores").iterdir()
    with kept.open("ab") as stream:
        stream.write(b'{"query": "q9", "scores": {"p')  # what a crash while writing leaves
    done = start(-1, kill, tmp_path)
    assert done.returncode == 0, done.stderr
    pairs = Counter(tuple(json.loads(line)) for line in (tmp_path / "log").read_text().splitlines())
    assert set(pairs.values()) == {1}
    assert len(pairs) == 12 * 10
    (tmp_path / "fresh").mkdir()
    assert start(-1, kill, tmp_path / "fresh").stdout == done.stdout
    assert json.loads(done.stdout)["rows"][1]["failures"] == []


def test_without_what_was_kept_pairs_are_scored_again(tmp_path):
    """The control."""
    assert start(5, "SIGKILL", tmp_path).returncode == -signal.SIGKILL
    [kept] = (tmp_path / "out" / "scores").iterdir()
    Path(kept).unlink()
    assert start(-1, "SIGKILL", tmp_path).returncode == 0
    pairs = Counter((tmp_path / "log").read_text().splitlines())
    assert sorted(set(pairs.values())) == [1, 2]


def test_the_task_of_these_tests_is_one_that_a_scorer_can_change():
    assert evaluate(TASK, top_k=10).rows[0].average["R@5"].value > 0
