"""The README is short, what it links to exists, and the architecture's tree is the tree there is."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def tree(page: str) -> list[str]:
    """Paths of a page's annotated tree, from its indentation."""
    [block] = re.findall(r"```text\n(nvrerank/.*?)```", page, re.DOTALL)
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


@pytest.mark.parametrize("page", [README, ARCHITECTURE], ids=["README", "architecture"])
def test_every_path_of_a_tree_exists(page):
    missing = [path for path in tree(page) if not (ROOT / path).exists()]
    assert missing == []


def test_every_module_and_top_level_name_is_in_the_tree():
    listed = set(tree(ARCHITECTURE))
    modules = {
        path
        for path in tracked()
        if path.endswith(".py") and not path.startswith("tests/") and "__" not in path
    }
    top = {path.split("/")[0] for path in tracked()}
    assert sorted((modules | top) - listed) == []


def test_the_readme_is_short_and_fits_a_terminal():
    lines = README.splitlines()
    assert len(lines) <= 200
    assert [line for line in lines if len(line) > 100] == []


def headings(path: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and the site name them."""
    found = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


def links(page: str) -> list[tuple[str, ...]]:
    """Paths and anchors of the links that stay in the repository."""
    found = re.findall(r"\]\(([^)]+)\)|^\[\w+\]: (.+)$", page, re.MULTILINE)
    targets = [inline or defined for inline, defined in found]
    return [one.partition("#")[::2] for one in targets if not one.startswith("http")]


def test_every_link_of_the_readme_leads_somewhere():
    assert len(links(README)) > 15
    for path, anchor in links(README):
        assert (ROOT / path).exists(), path
        assert not anchor or anchor in headings(ROOT / path), f"{path}#{anchor}"


def test_the_readme_s_picture_is_the_one_that_the_notebook_shows():
    notebook = json.loads((ROOT / "notebooks" / "langchain_rag.ipynb").read_text(encoding="utf-8"))
    [cell] = [one for one in notebook["cells"] if one["id"] == "rank-flow"]
    [picture] = [one["data"]["image/png"] for one in cell["outputs"] if "image/png" in one.get("data", {})]
    assert (ROOT / "docs" / "pictures" / "ranking.png").read_bytes() == base64.b64decode(picture)
