"""The same scores in the same order on Ray, also if an actor dies; one Ray for all of these tests."""

import os
import signal
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_nim import FakeNIM, truth
from fake_nim.steps import rank

from nvrerank import LocalScorer, ModelLoadError
from nvrerank.bulk import rerank_parquet, score_dataset

ROWS = 48
TABLE = pa.table(
    {
        "id": list(range(ROWS)),
        "query": [f"which is number {number // 6}?" for number in range(ROWS)],
        "passage": [" " if number == 7 else f"number {number} " * (number % 5 + 1) for number in range(ROWS)],
    }
)
SMALL = {"engine": "ray", "cpus_per_actor": 0.5, "batch_size": 4, "shard_rows": 12}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("ray_session"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own: sockets that it leaves open
]


@pytest.fixture
def source(tmp_path):
    pq.write_table(TABLE, tmp_path / "in.parquet", row_group_size=10)
    return tmp_path / "in.parquet"


def test_two_actors_give_the_local_engines_output(source, tmp_path):
    """The actors take all processors there are: what reads the rows needs none of its own."""
    exact = {"bundled": {"dtype": "float32"}}
    rerank_parquet(source, tmp_path / "here", scorer=exact, batch_size=4, shard_rows=12)
    whole = SMALL | {"actors": 2, "cpus_per_actor": 1}
    report = rerank_parquet(source, tmp_path / "there", scorer=exact, **whole)
    assert pq.read_table(tmp_path / "there") == pq.read_table(tmp_path / "here")
    assert (report.pairs, report.errors, report.failures[0].error) == (ROWS, 1, "the passage is blank")
    assert report.tokens > 0
    again = rerank_parquet(source, tmp_path / "there", scorer=exact, **SMALL)
    assert again.resumed == ROWS


def test_an_actor_that_is_killed_costs_at_most_its_batch(source, tmp_path):
    """The fake server is slow, and counts what it is asked; the actor dies amid a call."""
    with FakeNIM([rank(delay=0.2)] * 100) as nim:
        spec = {"hosted": {"model": "fake/m", "base_url": nim.url, "max_retries": 0}}

        def kill():
            while len(nim.seen) < 4:
                time.sleep(0.01)
            for process in Path("/proc").glob("[0-9]*"):
                if b"ray::MapWorker" in (process / "cmdline").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
                    return

        killer = threading.Thread(target=kill)
        killer.start()
        report = rerank_parquet(source, tmp_path / "out", scorer=spec, actors=2, **SMALL)
        killer.join()
        asked = [len(one.pair[1]) for one in nim.seen]
    assert (report.rows, report.errors) == (ROWS, 1)
    assert ROWS - 1 <= sum(asked) <= ROWS - 1 + SMALL["batch_size"]


def test_what_is_wrong_with_a_scorer_is_its_own_error(source, tmp_path):
    (tmp_path / "no-model").mkdir()
    with pytest.raises(ModelLoadError, match=r"config\.json is missing"):
        rerank_parquet(source, tmp_path / "out", scorer=f"local:{tmp_path / 'no-model'}", **SMALL)
    with pytest.raises(TypeError, match="give a string or a mapping"):
        rerank_parquet(source, tmp_path / "out", scorer=LocalScorer(), **SMALL)


def test_a_dataset_of_ones_own_gets_the_same_columns(ray_session):
    with FakeNIM() as nim:
        spec = f"hosted:fake/m@{nim.url}"
        data = ray_session.data.from_arrow(TABLE)
        scored = score_dataset(data, spec, prefix="nim_", batch_size=16, cpus_per_actor=0.5)
        rows = sorted(scored.take_all(), key=lambda row: row["id"])
    assert list(rows[0]) == ["id", "query", "passage", "nim_score", "nim_error"]
    assert (rows[7]["nim_score"], rows[7]["nim_error"]) == (None, "the passage is blank")
    others = [row for row in rows if row["id"] != 7]
    expected = [truth(row["query"], row["passage"]) for row in others]
    assert [row["nim_score"] for row in others] == pytest.approx(expected)
