"""The README's tree is true, and its examples run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def tree() -> list[str]:
    """Paths of the annotated tree, from its indentation."""
    [block] = re.findall(r"```text\n(nvrerank/.*?)```", README, re.DOTALL)
    paths, parents = [], []
    for line in block.splitlines()[1:]:
        if line.lstrip().startswith("#"):
            continue  # goes on from the line above
        names, depth = line.split("  #")[0].strip().split(), (len(line) - len(line.lstrip())) // 2 - 1
        del parents[depth:]
        paths += ["/".join([*parents, name.rstrip("/")]) for name in names]
        if names[0].endswith("/"):
            parents.append(names[0].rstrip("/"))
    return paths


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listing.stdout.splitlines()


def test_every_path_of_the_tree_exists():
    missing = [path for path in tree() if not (ROOT / path).exists()]
    assert missing == []


def test_every_module_and_top_level_name_is_in_the_tree():
    listed = set(tree())
    modules = {
        path
        for path in tracked()
        if path.endswith(".py") and not path.startswith("tests/") and "__" not in path
    }
    top = {path.split("/")[0] for path in tracked()}
    assert sorted((modules | top) - listed) == []


EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def asks_a_server(example: str) -> bool:
    return re.search(r"^(with )?HostedScorer\(", example, re.MULTILINE) is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    "example", [one for one in EXAMPLES if not asks_a_server(one)], ids=lambda one: one[:40]
)
def test_each_example_that_needs_no_server_runs_as_it_stands(example, capsys):
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102 # our own README
    assert ("print(" in example) == bool(capsys.readouterr().out)
    assert "scorer" in names or "reranker" in names


@pytest.mark.parametrize("example", [one for one in EXAMPLES if asks_a_server(one)], ids=lambda one: one[:40])
def test_each_example_for_a_server_is_python_and_imports_what_exists(example):
    names: dict[str, object] = {}
    compile(example, "README.md", "exec")
    exec("\n".join(re.findall(r"^(?:from|import) .*$", example, re.MULTILINE)), names)  # noqa: S102
    assert "HostedScorer" in names
