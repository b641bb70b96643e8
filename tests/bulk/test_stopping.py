"""Stopped at any moment, a run goes on: nothing lost, no finished shard scored twice, the same output."""

import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS = 60
SHARD, BATCH = 10, 5

# Scores by length, writes down each passage, and before its nth batch ends itself or fills its disk.
SCRIPT = """
import os, resource, signal, sys
from nvrerank import Scorer
from nvrerank.bulk import rerank_parquet

left, how, log, source, output = int(sys.argv[1]), *sys.argv[2:]

class Noting(Scorer):
    name = "noting"

    def _score(self, query, passages):
        global left
        if left == 0 and how.startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, how))
        left -= 1
        with open(log, "a") as stream:
            stream.writelines(passage.split()[0] + "\\n" for passage in passages)
        return [float(len(passage)) for passage in passages]

if how == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, left))
print(rerank_parquet(source, output, scorer=Noting(), shard_rows=10, batch_size=5).resumed)
"""


@pytest.fixture
def source(tmp_path):
    passages = [f"{number} {random.randbytes(10 * number).hex()}" for number in range(ROWS)]
    pq.write_table(pa.table({"query": ["q"] * ROWS, "passage": passages}), tmp_path / "in.parquet")
    return tmp_path / "in.parquet"


def start(source, number=-1, how="", output="out.parquet"):
    log, output = source.with_name("log"), source.with_name(output)
    command = [sys.executable, "-c", SCRIPT, str(number), how, str(log), str(source), str(output)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def scored(source):
    return Counter(source.with_name("log").read_text().splitlines())


@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_it_goes_on_after_a_signal_and_equals_an_undisturbed_run(source, how):
    for calls in (3, 5):  # within the second shard, then within the fourth
        stopped = start(source, calls, how)
        assert stopped.returncode == -getattr(signal, how), stopped.stderr
        assert not source.with_name("out.parquet").exists()
    done = start(source)
    assert done.stdout.strip() == "30", done.stderr
    again = Counter(scored(source).values())
    assert again == {1: ROWS - 2 * BATCH, 2: 2 * BATCH}  # a batch of each shard that was under way
    start(source, output="whole.parquet")
    assert source.with_name("out.parquet").read_bytes() == source.with_name("whole.parquet").read_bytes()


def test_a_full_disk_is_an_error_that_keeps_what_is_whole(source):
    full = start(source, 6000, "full", "out")
    assert "File too large" in full.stderr
    assert "Exception ignored" not in full.stderr
    kept = [path.name for path in sorted(source.with_name("out").iterdir())]
    assert kept == ["_bulk.jsonl", "part-00000.parquet", "part-00001.parquet"]
    done = start(source, output="out")
    assert done.stdout.strip() == str(2 * SHARD), done.stderr
    assert pq.read_table(source.with_name("out")).num_rows == ROWS


# In a mount namespace of its own: a disk of 32 KB, and a larger one for the second try.
SMALL_DISK = """
mount -t tmpfs -o size=32k tmpfs "$1" || exit 77
shift; "$@"; echo "status $?"; ls "$(dirname "$0")/disk/out"
mount -o remount,size=10m "$(dirname "$0")/disk" && "$@" && cp -r "$(dirname "$0")/disk/out" "$0"
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs Linux' unshare")
def test_a_disk_that_is_full_and_then_larger_gets_the_same_output(source):
    disk, copy = source.with_name("disk"), source.with_name("copy")
    disk.mkdir()
    inner = ["unshare", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, copy, disk]
    command = [sys.executable, "-c", SCRIPT, "-1", "", source.with_name("log"), source, disk / "out"]
    done = subprocess.run(
        list(map(str, [*inner, *command])), capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("mounting is not allowed here")
    assert done.stderr.rstrip().endswith("OSError: [Errno 28] No space left on device")
    status, *kept, resumed = done.stdout.split("\n")[:-1]
    assert status == "status 1"
    assert 1 < len(kept) < 1 + ROWS // SHARD
    assert kept == ["_bulk.jsonl", *(f"part-{number:05}.parquet" for number in range(len(kept) - 1))]
    assert int(resumed) == SHARD * (len(kept) - 1)
    start(source, output="out")
    names = [f"part-{number:05}.parquet" for number in range(ROWS // SHARD)]
    assert [(copy / one).read_bytes() for one in names] == [
        (source.with_name("out") / one).read_bytes() for one in names
    ]


@pytest.mark.parametrize("torn", [b'{"shard": 5, "by', b"\x00\xff"])
def test_what_a_crash_tore_off_the_journal_costs_one_shard(source, torn):
    start(source, output="out")
    with source.with_name("out").joinpath("_bulk.jsonl").open("ab") as stream:
        stream.write(torn)
    source.with_name("out").joinpath("part-00002.parquet").unlink()
    assert start(source, output="out").stdout.strip() == str(ROWS - SHARD)
    assert Counter(scored(source).values()) == {1: ROWS - SHARD, 2: SHARD}


def test_two_processes_do_not_write_to_one_output(source):
    from nvrerank.bulk.work import Work

    work = Work(source.with_name("out"), ".parquet")
    work.begin({}, resume=True)
    try:
        refused = start(source, output="out")
    finally:
        work.close()
    assert "another process is writing to" in refused.stderr
    assert not Path(source.with_name("log")).exists()
