import json
import os
import signal
import subprocess
import sys
import time

import pytest
from fake_nim import FakeNIM
from fake_nim.steps import answer, rank
from typer.testing import CliRunner

from nvrerank.cli import app

TEXTS = {
    "a": "cats purr at night",
    "b": "dogs bark at cats",
    "c": "capital of france",
    "d": "of cats and dogs",
}
QUERIES = {"q1": "cats at night", "q2": "dogs", "q3": "france"}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("NVIDIA_API_KEY", "NVIDIA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "pets"
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", TEXTS), ("queries", QUERIES)):
        lines = [json.dumps({"_id": key, "text": text}) for key, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\ta\t1\nq2\td\t1\nq3\tc\t1\n", encoding="utf-8"
    )
    return folder


@pytest.fixture
def run(tmp_path):
    def invoke(*arguments):
        given = ["eval", *map(str, arguments), "--out", str(tmp_path / "out")]
        return CliRunner().invoke(app, given)

    return invoke


def test_a_table_is_printed_and_everything_is_saved(run, data, tmp_path):
    result = run(data, "--metrics", "R@1,RR")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split()[:3] == ["pipeline", "pets", "Recall@1"]
    assert "pets: 3 queries, 4 passages" in result.stdout
    assert (tmp_path / "out/runs/pets/bm25.trec").read_text(encoding="utf-8").count("\n") == 6
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("style", "start"), [("markdown", "| pipeline |"), ("text", "pipeline "), ("json", "{\n")]
)
def test_each_format_is_what_it_says(run, data, style, start):
    assert run(data, "--format", style).stdout.startswith(start)


def test_a_server_of_ones_own_reranks_and_is_not_asked_again(run, data):
    with FakeNIM([rank()] * 3) as nim:
        arguments = (data, "--scorer", f"hosted:fake/m@{nim.url}", "--format", "json")
        first = run(*arguments)
        again = run(*arguments)
        assert first.exit_code == 0, first.output
        assert len(nim.seen) == 3
    assert again.stdout == first.stdout
    rows = json.loads(first.stdout)["rows"]
    assert [row["pipeline"] for row in rows] == ["bm25", f"bm25 + hosted:fake/m@{nim.url}"]
    assert rows[1]["average"]["R@5"]["gain"] == 0.0


def test_an_instruction_goes_along_with_each_request_and_its_scores_are_kept_apart(run, data):
    with FakeNIM([rank()] * 6) as nim:
        arguments = (data, "--scorer", f"hosted:fake/m@{nim.url}/rerank")
        for more in ((), ("--instruction", "find the clause"), ("--instruction", "find the clause")):
            done = run(*arguments, *more)
            assert done.exit_code == 0, done.output
        assert [one.json.get("instruction") for one in nim.seen] == [None] * 3 + ["find the clause"] * 3
    refused = run(data, "--scorer", "bundled", "--instruction", "find the clause")
    assert refused.exit_code == 2
    assert "no place for an instruction" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_cascade_is_measured_beside_its_scorers(run, data):
    with FakeNIM([rank()] * 6) as nim:
        strong = f"hosted:fake/m@{nim.url}"
        cascade = json.dumps({"cascade": {"cheap": "bundled", "strong": strong, "keep": 2}})
        result = run(data, "--scorer", strong, "--scorer", cascade, "--format", "json")
        assert result.exit_code == 0, result.output
        read = [len(one.json["passages"]) for one in nim.seen]
    assert [max(read[:3]), max(read[3:])] == [3, 2], "the strong one reads what was kept"
    assert [row["pipeline"] for row in json.loads(result.stdout)["rows"]] == [
        "bm25",
        f"bm25 + {strong}",
        f"bm25 + {cascade}",
    ]
    refused = run(data, "--scorer", cascade, "--fuse", "rrf")
    assert refused.exit_code == 2
    assert (
        "depend on the other passages of the list: measure it with one retriever and without fuse"
        in refused.stderr
    )


def test_a_query_that_fails_is_named_and_the_status_is_1(run, data):
    with FakeNIM([rank(), answer(422, {"detail": "too long"}), rank()]) as nim:
        result = run(data, "--scorer", f"hosted:fake/m@{nim.url}")
    assert result.exit_code == 1
    assert "(!)" in result.stdout
    assert "not scored: pets, query q2: RequestRejectedError" in result.stderr
    assert "Traceback" not in result.output


def test_a_wrong_key_ends_it_in_one_line(run, data):
    with FakeNIM([answer(401)]) as nim:
        result = run(data, "--scorer", f"hosted:fake/m@{nim.url}")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("qrels/test.tsv", "q1\ta\tmuch\n", "test.tsv:1: the score 'much' is not a whole number"),
        ("corpus.jsonl", '{"_id": "a", "text": "x"}\n{', "corpus.jsonl:2: not JSON"),
        ("queries.jsonl", "", "queries.jsonl is empty"),
    ],
)
def test_broken_data_are_one_line_and_status_2(run, data, file, content, message):
    (data / file).write_text(content, encoding="utf-8")
    result = run(data)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_what_is_passed_over_is_said_below_the_table_or_beside_the_json(run, data):
    with (data / "qrels" / "test.tsv").open("a") as stream:
        stream.write("q1\tzz\t1\n")
    line = "pets: judged passages that are not in the corpus, never found, as in BEIR: 1"
    table, record = run(data), run(data, "--format", "json")
    assert (line in table.stdout, table.stderr) == (True, "")
    assert record.stderr == f"nvrerank: {line}\n"
    assert json.loads(record.stdout)["sets"][0]["remarks"]
    refused = run(data, "--strict")
    assert refused.exit_code == 2
    assert "test.tsv:5: the passage 'zz' is not in the corpus" in refused.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--retriever", "bm26"),
        ("--scorer", "magic"),
        ("--metrics", "bogus"),
        ("--top-k", 0),
        ("--retriever", "run:x"),
    ],
)
def test_a_bad_option_is_one_line_and_status_2(run, data, options):
    result = run(data, *options)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_languages_and_samples_are_chosen(run, data):
    for name in ("corpus", "queries"):
        text = (data / f"{name}.jsonl").read_text(encoding="utf-8")
        for language in ("en", "de", "fr"):
            (data / f"{name}.{language}.jsonl").write_text(text, encoding="utf-8")
        (data / f"{name}.jsonl").unlink()
    languages = ("--query-languages", "en,de", "--passage-languages", "fr")
    sets = json.loads(run(data, *languages, "--limit-queries", 2, "--format", "json").stdout)["sets"]
    assert [(one["pairs"], one["queries"], one["of"]) for one in sets] == [(["en-fr", "de-fr"], 2, 3)]


def test_the_bar_is_shown_if_it_is_asked_for(run, data):
    with FakeNIM([rank()] * 3) as nim:
        result = run(data, "--scorer", f"hosted:fake/m@{nim.url}", "--progress")
    assert "scoring: 100%" in result.stderr


def test_ctrl_c_says_how_to_go_on(data, tmp_path):
    with FakeNIM([rank(30)] * 3) as nim:
        command = [sys.executable, "-c", "from nvrerank.cli import app; app()", "eval", data, "--scorer"]
        command += [f"hosted:fake/m@{nim.url}", "--out", tmp_path / "out"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            until = time.monotonic() + 60
            while not nim.seen and time.monotonic() < until:
                time.sleep(0.05)
            os.kill(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert "the same command goes on from there" in err
    assert err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
@pytest.mark.usefixtures("ray_session")
def test_ray_is_an_engine_and_what_it_scored_is_kept_for_any(run, data):
    with FakeNIM() as nim:
        arguments = (data, "--scorer", f"hosted:fake/m@{nim.url}", "--format", "json")
        there = run(*arguments, "--engine", "ray", "--actors", 2, "--cpus-per-actor", 0.5)
        assert there.exit_code == 0, there.output
        asked = len(nim.seen)
        here = run(*arguments)
    assert asked > 0
    assert len(nim.seen) == asked
    assert json.loads(here.stdout)["rows"] == json.loads(there.stdout)["rows"]


def test_a_folder_of_results_that_cannot_be_written_is_one_line(run, data, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scores").write_text("a file where the folder should be")
    with FakeNIM([rank()]) as nim:
        result = run(data, "--scorer", f"hosted:fake/m@{nim.url}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "scores: File exists; what was scored is kept" in result.stderr
    assert result.stderr.count("\n") == 1


def test_tokens_beyond_the_model_are_a_bad_option(run, data):
    result = run(data, "--scorer", "bundled", "--max-length", 513)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--max-length 513 is more than the 512 tokens" in result.stderr


def test_without_its_packages_the_pip_command_is_named(run, data, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("nvrerank.evaluation")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    result = run(data)
    assert result.exit_code == 3
    assert "pip install 'nvrerank[eval]'" in result.stderr
