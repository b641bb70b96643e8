import json

import pytest
from fake_nim import FakeNIM, truth
from fake_nim.steps import answer, rank
from typer.testing import CliRunner

from nvrerank.cli import app

QUESTION = "the capital of france"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("NVIDIA_API_KEY", "NVIDIA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments):
    return CliRunner().invoke(app, ["rank", *map(str, arguments)])


def test_a_server_of_ones_own_ranks_a_file_and_a_503_loses_nothing(notes):
    with FakeNIM([answer(503), rank()]) as nim:
        result = run(QUESTION, notes, "--hosted", "fake/reranker", "--base-url", nim.url, "--json")
    assert result.exit_code == 0, result.output
    entries = json.loads(result.stdout)
    scores = [entry["score"] for entry in entries]
    assert scores == sorted(scores, reverse=True)
    assert scores == [truth(QUESTION, entry["text"]) for entry in entries]
    assert [seen.json["model"] for seen in nim.seen] == ["fake/reranker"] * 2


def test_a_scorer_of_scorers_ranks_a_file_and_the_next_run_asks_for_nothing(notes, tmp_path):
    with FakeNIM([rank()]) as nim:
        cached = {"scorer": f"hosted:fake/m@{nim.url}", "path": str(tmp_path / "scores.db")}
        scorer = json.dumps({"fallback": [{"cached": cached}, "bundled"]})
        first = run(QUESTION, notes, "--scorer", scorer, "--json")
        assert run(QUESTION, notes, "--scorer", scorer, "--json").stdout == first.stdout
        assert len(nim.seen) == 1
    assert [entry["score"] for entry in json.loads(first.stdout)] == sorted(
        (truth(QUESTION, entry["text"]) for entry in json.loads(first.stdout)), reverse=True
    )


def test_a_hosted_model_without_a_key_is_one_line_that_names_the_variable(notes):
    result = run("q", notes, "--hosted", "nvidia/llama-nemotron-rerank-1b-v2")
    assert result.exit_code == 1
    assert "NVIDIA_API_KEY" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("options", [["--model", "m"], ["--hosted", "m"], ["--base-url", "http://nim/v1"]])
def test_a_scorer_is_said_in_one_way(notes, options):
    done = CliRunner().invoke(app, ["rank", "q", str(notes), "--scorer", "bundled", *options])
    assert done.exit_code == 2
    assert "--scorer says which scorer it is" in done.stderr


@pytest.mark.parametrize(
    ("scorer", "message"),
    [("bge", "a scorer is bundled"), ('{"cached": 7}', "a string, a mapping or a Scorer, not int")],
)
def test_a_scorer_that_is_none_is_one_line_and_status_2(notes, scorer, message):
    done = CliRunner().invoke(app, ["rank", "q", str(notes), "--scorer", scorer])
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("local", [("--model", "a/b"), ("--revision", "v1"), ("--device", "cpu")])
def test_options_of_this_machine_and_of_an_api_do_not_mix(notes, local):
    result = run("q", notes, "--hosted", "a/b", *local)
    assert result.exit_code == 2
    assert "--base-url for an API" in result.stderr


@pytest.mark.parametrize("base_url", ["bogus", "localhost", "http://"])
def test_an_address_that_is_none_is_refused(notes, base_url):
    result = run("q", notes, "--base-url", base_url)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
