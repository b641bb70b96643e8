"""The wheel holds exactly the three packages, and an installation of it has no package `shared`."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PACKAGES = {"nvrerank", "langchain_nvrerank", "llamaindex_nvrerank"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    [file] = folder.glob("*.whl")
    return file


def test_the_wheel_holds_exactly_the_three_packages(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)


def test_the_wheel_ships_the_bundled_model_within_60_mb(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    model = {
        *(f"weights/{name}" for name in ("config.json", "tokenizer.json", "model.safetensors")),
        "MODEL_CARD.md",
    }
    assert {f"nvrerank/local/bundled/{name}" for name in model} <= set(names)
    assert wheel.stat().st_size < 60_000_000


def test_an_installed_wheel_has_the_packages_and_no_package_shared(wheel, tmp_path):
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, capture_output=True)
    code = "import nvrerank; print(nvrerank.rerank.__name__); import shared"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "rerank", done.stderr
    assert "No module named 'shared'" in done.stderr


def test_the_wheel_s_page_has_no_link_that_only_a_repository_could_follow(wheel):
    with zipfile.ZipFile(wheel) as files:
        [name] = [one for one in files.namelist() if one.endswith(".dist-info/METADATA")]
        metadata = message_from_bytes(files.read(name))
    repository = dict(one.split(", ") for one in metadata.get_all("Project-URL"))["Repository"]
    page = metadata.get_payload()
    targets = [
        inline or defined
        for inline, defined in re.findall(r"\]\(([^)]+)\)|^\[\w+\]: (.+)$", page, re.MULTILINE)
    ]
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page)
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert pictures
    assert [one for one in targets if not one.startswith("https://")] == []
    ours = [one for one in targets if one.startswith(repository)]
    assert len(ours) > 15
    for link in (*ours, *pictures):
        path = link.partition(f"/v{metadata['Version']}/")[2].partition("#")[0]
        assert path, link
        assert (ROOT / path).exists(), link
