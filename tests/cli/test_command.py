"""The command as a whole: its version, `python -m`, completion, formats, and statuses for scripts."""

from __future__ import annotations

import csv
import io
import subprocess
import sys

import pytest

from nvrerank import (
    AuthenticationError,
    BadResponseError,
    InvalidArgumentError,
    MissingExtraError,
    MissingKeyError,
    ModelLoadError,
    RateLimitError,
    RequestRejectedError,
    Scorer,
    __version__,
)
from nvrerank.cli.output import STATUSES, in_options


def test_the_version_is_printed(command):
    result = command("--version")
    assert (result.exit_code, result.stdout) == (0, f"nvrerank {__version__}\n")


def test_python_runs_it_as_a_module():
    command = [sys.executable, "-m", "nvrerank", "--help"]
    result = subprocess.run(command, capture_output=True, check=True, text=True)
    assert result.stdout.lstrip().startswith("Usage: nvrerank [OPTIONS] COMMAND")


def test_a_shell_can_complete_it(command, monkeypatch):
    assert "--install-completion" in command("--help").stdout
    monkeypatch.setenv("_NVRERANK_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "nvrerank rank q f.txt --hosted nvidia/llama-nemotron-rerank-v")
    monkeypatch.setenv("COMP_CWORD", "5")
    program = "from nvrerank.cli import app; app(prog_name='nvrerank')"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, text=True)
    assert result.stdout.split() == ["nvidia/llama-nemotron-rerank-vl-1b-v2"]


def test_csv_has_a_line_a_passage_that_a_spreadsheet_reads(command, notes):
    notes.write_text('a "quoted" word, and\na second line', encoding="utf-8")
    printed = command("rank", "a word", notes, "--format", "csv").stdout
    (row,) = csv.DictReader(io.StringIO(printed))
    assert (row["rank"], row["before"], row["score"], row["line"]) == ("1", "1", "1.0", "1")
    assert row["text"] == 'a "quoted" word, and\na second line'


def test_nothing_ranked_is_still_a_document_in_every_format(command, tmp_path):
    (tmp_path / "empty.txt").touch()
    printed = {
        style: command("rank", "q", tmp_path / "empty.txt", "--format", style).stdout
        for style in ("table", "json", "csv", "html")
    }
    assert (printed["table"], printed["json"]) == ("", "[]\n")
    assert printed["csv"] == "rank,before,score,fused,file,line,page,text\n"
    assert "no passage stayed" in printed["html"]


def test_html_is_the_page_that_html_file_writes(command, notes, tmp_path):
    printed = command("rank", "the capital of france", notes, "--format", "html").stdout
    command("rank", "the capital of france", notes, "--html", tmp_path / "page.html")
    assert printed.strip() == (tmp_path / "page.html").read_text(encoding="utf-8").strip()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadResponseError("x"), 1),
        (RuntimeError("x"), 1),
        (InvalidArgumentError("x"), 2),
        (RequestRejectedError("x"), 2),
        (MissingKeyError("x"), 3),
        (MissingExtraError("x"), 3),
        (ModelLoadError("x"), 3),
        (AuthenticationError("x"), 3),
        (RateLimitError("x"), 4),
    ],
)
def test_scripts_can_tell_what_went_wrong_by_the_status(command, notes, error, status):
    class Failing(Scorer):
        def _score(self, query, passages):
            raise error

    result = command("rank", "q", notes, obj=lambda *_: Failing())
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (status, "", 1)
    assert f" {status} " in STATUSES
    assert STATUSES.split() == command("--help").stdout.split()[-len(STATUSES.split()) :]


def test_an_error_about_a_passage_names_its_file_and_line(command, notes):
    class Refusing(Scorer):
        def _score(self, query, passages):
            raise RequestRejectedError("it is too long: let long_passages='windows' read it", index=1)

    result = command("rank", "q", notes, obj=lambda *_: Refusing())
    assert result.exit_code == 2
    assert result.stderr == (f"nvrerank: {notes}:3: it is too long: let --long-passages windows read it\n")


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("top_n must be 0 or more", "--top-n must be 0 or more"),
        ("fuse='rrf' or threshold=0.5", "--fuse rrf or --threshold 0.5"),
        ("pass api_key= for this one", "pass --api-key-env for this one"),
        ("model must be a name", "--model must be a name"),
        ("the model and its threshold stay words", "the model and its threshold stay words"),
        ("my_model=1, no-model and /srv/top_n_5 stay", "my_model=1, no-model and /srv/top_n_5 stay"),
    ],
)
def test_python_s_arguments_are_told_as_options(message, said):
    options = {name: f"--{name.replace('_', '-')}" for name in ("top_n", "fuse", "threshold", "model")}
    assert in_options(message, {**options, "api_key": "--api-key-env"}) == said


def test_options_of_this_machine_name_what_they_are_at_odds_with(command, notes):
    result = command("rank", "q", notes, "--timeout", 5, obj=None)
    assert (result.exit_code, result.stderr) == (
        2,
        "nvrerank: --timeout is for an API: name it by --hosted or --base-url\n",
    )


def test_the_key_of_another_host_is_read_from_the_variable_that_is_named(command, notes, monkeypatch):
    address = ("--base-url", "https://127.0.0.1:9/v1", "--api-key-env", "MY_KEY")
    result = command("rank", "q", notes, *address, obj=None)
    assert (result.exit_code, "MY_KEY" in result.stderr) == (3, True)
