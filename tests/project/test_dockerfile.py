"""The Dockerfile, as far as it can be judged without building it: slim, without root, nothing from the
network but packages, and what it copies is there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE = ROOT / "Dockerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")


def instructions():
    """Each stage's (word, arguments)."""
    text = re.sub(r"^\s*#.*\n", "", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    stages = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest.strip()))
    return stages


def hadolint(path):
    return subprocess.run([HADOLINT, "--no-color", path], capture_output=True, text=True, check=False)


def test_hadolint_has_nothing_to_say(tmp_path):
    done = hadolint(FILE)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    (tmp_path / "Dockerfile").write_text(
        "FROM python\nRUN cd /tmp && sudo apt-get install x\n", encoding="utf-8"
    )
    assert hadolint(tmp_path / "Dockerfile").returncode == 1  # it does look


def test_the_server_is_not_root_and_what_runs_last_is_its_own_user():
    words = [word for word, _ in instructions()[-1]]
    [user] = [rest for word, rest in instructions()[-1] if word == "USER"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)  # numbers, which Kubernetes can check
    assert words.index("USER") > words.index("RUN")
    assert "USER" in words[: words.index("ENTRYPOINT")]


def test_it_is_slim_fetches_no_url_and_holds_no_secret():
    every = [one for stage in instructions() for one in stage]
    assert all("-slim" in rest for word, rest in every if word == "FROM")
    assert "ADD" not in {word for word, _ in every}
    assert not [rest for word, rest in every if word == "RUN" and re.search(r"curl|wget|https?://", rest)]
    assert not [
        rest for word, rest in every if word in ("ENV", "ARG") and re.search(r"KEY|TOKEN|SECRET", rest)
    ]


def test_what_it_copies_exists_and_is_not_ignored():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for word, rest in instructions()[0] if word == "COPY" for source in rest.split()[:-1]}
    assert copied == kept
    assert all((ROOT / source).exists() for source in copied)


def test_a_command_that_exists_starts_in_exec_form_so_that_sigterm_reaches_it():
    from typer.testing import CliRunner

    from nvrerank.cli import app

    [entry] = [json.loads(rest) for word, rest in instructions()[-1] if word == "ENTRYPOINT"]
    assert entry[:2] == ["nvrerank", "serve"]
    refused = CliRunner().invoke(app, entry[1:])
    assert refused.exit_code == 2
    assert "--api-key" in refused.stderr  # without a key it does not start


@pytest.mark.parametrize("extra", ["serve", "local"])
def test_the_extras_that_it_installs_exist(extra):
    assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert extra in FILE.read_text(encoding="utf-8")
