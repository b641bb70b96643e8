import json
import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_nim import FakeNIM
from fake_nim.steps import answer, rank, truth
from typer.testing import CliRunner

from nvrerank.cli import app


@pytest.fixture
def run(tmp_path):
    table = pa.table({"query": ["a cat?"] * 3, "passage": ["a cat", " ", "a dog"]})
    pq.write_table(table, tmp_path / "in.parquet")

    def invoke(*options, output="out"):
        return CliRunner().invoke(
            app, ["bulk", str(tmp_path / "in.parquet"), str(tmp_path / output), *map(str, options)]
        )

    return invoke


def test_rows_get_scores_and_one_line_says_how_many(run, tmp_path):
    with FakeNIM([rank()]) as nim:
        done = run("--scorer", f"hosted:fake/m@{nim.url}")
    assert done.exit_code == 0, done.output
    assert "out: 3 pairs in 3 rows; 1 without a score; " in done.stdout
    assert " 1 requests; " in done.stdout
    assert done.stderr == "nvrerank: no score: row 1: the passage is blank\n"
    scores = pq.read_table(tmp_path / "out").column("score").to_pylist()
    assert scores == [pytest.approx(truth("a cat?", "a cat")), None, pytest.approx(truth("a cat?", "a dog"))]


def test_the_report_is_there_as_json(run):
    with FakeNIM([rank()]) as nim:
        told = json.loads(run("--scorer", f"hosted:fake/m@{nim.url}", "--json").stdout)
    assert (told["pairs"], told["errors"], told["requests"]) == (3, 1, 1)


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--passage-column", "text"], 2, "has no column 'text': it has query, passage"),
        (["--scorer", "local:no-such-folder"], 2, "no-such-folder"),
        (["--batch-size", "0"], 2, "--batch-size must be 1 or more"),
        (["--scorer", "hosted:nvidia/llama-nemotron-rerank-1b-v2"], 3, "NVIDIA_API_KEY"),
        (["--scorer", "bundled", "--instruction", "find it"], 2, "has no place for an instruction"),
        (["--scorer", "bundled", "--engine", "spark"], 2, "spark"),
    ],
)
def test_a_wrong_call_is_one_line_and_a_status(run, options, status, words, monkeypatch):
    monkeypatch.delenv("NVIDIA_API_KEY", raising=False)
    failed = run(*options)
    assert failed.exit_code == status
    assert words in failed.stderr
    assert failed.stdout == ""


def test_a_service_that_is_down_is_status_4_and_says_that_what_is_done_is_kept(run):
    with FakeNIM(default=answer(503)) as nim:
        spec = {"hosted": {"model": "fake/m", "base_url": nim.url, "max_retries": 0}}
        failed = run("--scorer", json.dumps(spec))
    assert (failed.exit_code, failed.stdout) == (4, "")
    assert failed.stderr.startswith("nvrerank: what is whole is kept, the same command goes on from there")
    assert "503" in failed.stderr


def test_an_output_that_cannot_be_written_is_status_1(run, tmp_path):
    (tmp_path / "file").touch()
    failed = run("--scorer", "bundled", output="file/out")
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert "file/out: Not a directory; what is whole is kept" in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_ctrl_c_is_one_line_and_the_same_command_goes_on(run, tmp_path):
    with FakeNIM(default=rank(delay=0.2)) as nim:
        options = ["--scorer", f"hosted:fake/m@{nim.url}", "--shard-rows", "1", "--json"]
        code = "from nvrerank.cli import app; app()"
        command = [sys.executable, "-c", code, "bulk", tmp_path / "in.parquet", tmp_path / "out", *options]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            until = time.monotonic() + 60
            while len(nim.seen) < 2 and time.monotonic() < until:
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (130, "")
        assert err.startswith(
            "nvrerank: stopped; what is whole is kept, the same command goes on from there: "
        )
        assert err.count("\n") == 1
        done = json.loads(run(*options).stdout)
    assert (done["pairs"], done["resumed"]) == (3, 2)
