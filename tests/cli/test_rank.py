import json
import os
import subprocess
import sys
import warnings

import pytest
from typer.testing import CliRunner

from nvrerank import BadResponseError, Scorer
from nvrerank.cli import ScorerOptions, app


def test_passages_are_printed_best_first_with_score_file_and_line(command, notes):
    result = command("rank", "the capital of france", notes)
    assert result.exit_code == 0
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["rank", "before", "moved", "score", "passage"]
    assert [line.split() for line in lines[::2]] == [
        ["1", "2", "↑", "1", "4.000", f"{notes}:3"],
        ["2", "1", "↓", "1", "2.000", f"{notes}:1"],
        ["3", "3", "=", "2.000", f"{notes}:6"],
    ]
    assert lines[1].strip().startswith("The capital of France is Paris")


def test_json_is_one_document_with_everything_about_each_passage(command, notes):
    result = command("rank", "the capital of france", notes, "--top-n", 1, "--json")
    (entry,) = json.loads(result.stdout)
    text = entry.pop("text")
    where = {"file": str(notes), "line": 3, "page": None}
    scored = {"score": 4.0, "fused": None, "source": None, "cut": False}
    assert entry == {"rank": 1, "before": 2, "index": 1, **scored, **where}
    assert text.startswith("The capital")
    assert text.endswith("century.")


def test_several_files_are_ranked_together(command, notes, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("what is the capital of france called", encoding="utf-8")
    entries = json.loads(
        command("rank", "what is the capital of france called", notes, other, "--json").stdout
    )
    assert (entries[0]["file"], entries[0]["index"]) == (str(other), 3)


def test_the_threshold_is_compared_after_the_mode(command, notes):
    options = ("--score-mode", "sigmoid", "--threshold", "0.9", "--json")
    entries = json.loads(command("rank", "the capital of france", notes, *options).stdout)
    assert [entry["score"] for entry in entries] == [pytest.approx(0.98201, abs=1e-5)]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--top-n", 0), "none of 3 passages is shown: --top-n is 0"),
        (("--threshold", 9), "none of 3 passages scored 9 or more: lower --threshold, or leave it out"),
    ],
)
def test_an_empty_ranking_prints_nothing_and_says_why(command, notes, options, reason):
    result = command("rank", "q", notes, *options)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"nvrerank: {reason}\n")


def test_the_options_say_which_model_scores(command, made_with, notes):
    command("rank", "q", notes, "--model", "org/name", "--revision", "v1", "--device", "cpu")
    command("rank", "q", notes, "--max-length", 99, "--quantize", "int8", "--long-passages", "windows")
    command("rank", "q", notes, "--hosted", "org/name", "--base-url", "http://127.0.0.1:9", "--timeout", 5)
    command("rank", "q", notes)
    assert made_with == [
        ScorerOptions(model="org/name", revision="v1", device="cpu"),
        ScorerOptions(max_length=99, quantize="int8", long_passages="windows"),
        ScorerOptions(hosted="org/name", base_url="http://127.0.0.1:9", timeout=5),
        ScorerOptions(),
    ]


def test_a_dash_is_standard_input(command):
    (entry,) = json.loads(command("rank", "q", "-", "--json", stdin="some text\n").stdout)
    assert (entry["file"], entry["line"], entry["text"]) == ("-", 1, "some text")


@pytest.mark.parametrize("content", ["", "\n \n\t\n"])
def test_an_empty_file_is_no_error_but_said(command, tmp_path, content):
    (tmp_path / "empty.txt").write_text(content, encoding="utf-8")
    result = command("rank", "q", tmp_path / "empty.txt", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
    assert "no text in" in result.stderr
    assert "empty.txt" in result.stderr


def test_bytes_that_are_not_utf_8_are_replaced_and_that_is_said(command, tmp_path):
    (tmp_path / "latin.txt").write_bytes("café au lait".encode("latin-1"))
    result = command("rank", "q", tmp_path / "latin.txt", "--json")
    assert json.loads(result.stdout)[0]["text"] == "caf\ufffd au lait"
    assert "latin.txt is not all UTF-8" in result.stderr


def test_a_replacement_sign_that_was_there_before_is_not_reported(command, tmp_path):
    (tmp_path / "sign.txt").write_text("a \ufffd sign", encoding="utf-8")
    assert command("rank", "q", tmp_path / "sign.txt").stderr == ""


def test_a_byte_order_mark_is_not_part_of_the_text(command, tmp_path):
    (tmp_path / "bom.txt").write_text("text", encoding="utf-8-sig")
    assert json.loads(command("rank", "q", tmp_path / "bom.txt", "--json").stdout)[0]["text"] == "text"


def test_a_huge_line_is_cut_into_passages(command, tmp_path):
    (tmp_path / "huge.txt").write_text("word " * 100_000 + "x" * 100_000, encoding="utf-8")
    entries = json.loads(command("rank", "word", tmp_path / "huge.txt", "--json").stdout)
    assert len(entries) > 700
    assert max(len(entry["text"]) for entry in entries) <= 800
    assert {entry["line"] for entry in entries} == {1}


def test_what_a_terminal_might_obey_is_not_printed(command, tmp_path):
    (tmp_path / "escape.txt").write_text("red \x1b[31m alert \x07\u202e", encoding="utf-8")
    printed = command("rank", "q", tmp_path / "escape.txt").stdout
    assert not {"\x1b", "\x07", "\u202e"} & set(printed)


def test_a_passage_takes_one_line_of_the_terminals_width(command, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    (tmp_path / "long.txt").write_text("many words\n" * 50, encoding="utf-8")
    head, snippet = command("rank", "q", tmp_path / "long.txt").stdout.splitlines()[1:3]
    assert head.endswith(":1")
    assert len(snippet) == 60
    assert snippet.endswith("…")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["q", "none.txt"], "none.txt can't be read: No such file"),
        (["q", "binary"], "binary is not a text file"),
        (["q", "utf-16.txt"], "utf-16.txt is not a text file in UTF-8"),
        (["q", "a\0b"], "null"),
        ([" ", "-"], "query is blank"),
        (["q", "-", "--top-n", "-1"], "--top-n must be 0 or more"),
        (["q", "-", "--threshold", "nan"], "--threshold must be a number"),
    ],
)
def test_a_bad_argument_is_one_line_on_stderr_and_status_2(command, tmp_path, monkeypatch, arguments, words):
    (tmp_path / "binary").write_bytes(b"\x7fELF\x00\x01")
    (tmp_path / "utf-16.txt").write_text("text", encoding="utf-16")
    monkeypatch.chdir(tmp_path)
    result = command("rank", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("nvrerank: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["q"],
        ["q", "-", "--no-such-option"],
        ["q", "-", "--top-n", "few"],
        ["q", "-", "--score-mode", "rank"],
    ],
)
def test_a_call_that_can_not_be_read_is_explained_without_a_traceback(command, arguments):
    result = command("rank", *arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr
    assert "Traceback" not in result.output


def test_a_bad_argument_is_found_before_a_scorer_is_made(command, made_with):
    command("rank", " ", "-")
    command("rank", "q", "-", "--top-n", "-1")
    assert made_with == []


def test_a_scorer_that_fails_is_one_line_on_stderr_and_status_1(command, notes):
    class Failing(Scorer):
        def score(self, query, passages):
            raise BadResponseError("no scores came:\n  report it")

    result = command("rank", "q", notes, obj=lambda *_: Failing())
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "nvrerank: no scores came: report it\n"


@pytest.mark.parametrize("error", [RuntimeError("CUDA error:\n device-side assert"), ValueError("padding")])
def test_a_model_that_fails_while_scoring_is_one_line_on_stderr_and_status_1(command, notes, error):
    class Failing(Scorer):
        def score(self, query, passages):
            raise error

    result = command("rank", "q", notes, obj=lambda *_: Failing())
    assert (result.exit_code, result.stdout) == (1, "")
    words = " ".join(str(error).split())
    assert result.stderr == f"nvrerank: Failing failed while scoring: {type(error).__name__}: {words}\n"


def test_ctrl_c_is_status_130_without_a_traceback(command, notes):
    class Stopped(Scorer):
        def score(self, query, passages):
            raise KeyboardInterrupt

    result = command("rank", "q", notes, obj=lambda *_: Stopped())
    assert (result.exit_code, result.output) == (130, "")


def test_a_warning_is_one_line_on_stderr_and_no_failure(command, notes):
    class Uncalibrated(Scorer):
        calibrated = False

        def score(self, query, passages):
            return [1.0 for _ in passages]

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        options = ["--score-mode", "sigmoid", "--json"]
        result = command("rank", "q", notes, *options, obj=lambda *_: Uncalibrated())
    assert (result.exit_code, len(json.loads(result.stdout))) == (0, 3)
    assert result.stderr.startswith("nvrerank: Uncalibrated is not calibrated")
    assert result.stderr.count("\n") == 1


ONE_SCORER = """
from nvrerank import Scorer
from nvrerank.cli import app
class One(Scorer):
    def score(self, query, passages): return [1.0 for _ in passages]
app(obj=lambda *_: One())
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a shell of POSIX")
@pytest.mark.parametrize(
    ("shell", "status", "said"),
    [
        ("rank q - <&-", 1, "nvrerank: standard input is closed: pipe a text into it, or name a file\n"),
        ("rank q big.txt --json | true; exit ${PIPESTATUS[0]}", 1, ""),
        ("rank q big.txt >&-", 0, ""),
        ("rank q - < big.txt > /dev/full", 1, "nvrerank: [Errno 28] No space left on device\n"),
    ],
)
def test_whatever_the_shell_does_with_its_streams_there_is_no_traceback(tmp_path, shell, status, said):
    (tmp_path / "big.txt").write_text("many words in one paragraph. " * 9_000, encoding="utf-8")
    command = ["bash", "-c", f'"$PYTHON" -c "$PROGRAM" {shell}']
    environment = {**os.environ, "PYTHON": sys.executable, "PROGRAM": ONE_SCORER}
    result = subprocess.run(
        command, capture_output=True, check=False, text=True, cwd=tmp_path, env=environment
    )
    assert (result.returncode, result.stderr) == (status, said)


def test_a_model_that_is_not_there_is_one_line_on_stderr(tmp_path, notes):
    result = CliRunner().invoke(app, ["rank", "q", str(notes), "--model", str(tmp_path / "no-model")])
    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1
    assert "no-model" in result.stderr


def test_a_console_without_the_signs_of_a_text_gets_question_marks(notes):
    notes.write_text("Straße → Москва", encoding="utf-8")
    command = [sys.executable, "-c", ONE_SCORER, "rank", "q", str(notes)]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    result = subprocess.run(command, capture_output=True, check=True, env=environment)
    assert "Straße ? ??????" in result.stdout.decode("cp1252")


def test_the_command_line_imports_no_torch_and_no_framework():
    program = (
        "import sys, nvrerank.cli\n"
        "print(sorted({'torch', 'transformers', 'langchain_core', 'llama_index'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
