"""The README is short, what it links to exists, and the architecture's tree is the tree there is."""

from __future__ import annotations

import base64
import json
import re
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
_spec = spec_from_file_location("tree", ROOT / "shared" / "tools" / "tree.py")
tree = module_from_spec(_spec)
_spec.loader.exec_module(tree)
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def named(page: str) -> list[str]:
    """Paths of a page's tree, from its indentation."""
    [block] = re.findall(r"```text\n(nvrerank/.*?)```", page, re.DOTALL)
    paths, parents = [], []
    for line in block.splitlines()[1:]:
        names, depth = line.split("  #")[0].strip().split(), (len(line) - len(line.lstrip())) // 2 - 1
        del parents[depth:]
        paths += ["/".join([*parents, name.rstrip("/")]) for name in names]
        if names[0].endswith("/"):
            parents.append(names[0].rstrip("/"))
    return paths


def test_every_folder_that_the_readme_names_exists():
    assert len(named(README)) > 10
    assert [path for path in named(README) if not (ROOT / path).exists()] == []


def test_the_tree_of_the_architecture_is_the_tree_there_is():
    [shown] = tree.BLOCK.findall(ARCHITECTURE)
    assert shown.splitlines() == tree.block().splitlines(), "run `python shared/tools/tree.py`"


def test_the_tree_has_every_module_that_ships_and_everything_at_the_top():
    listed = set(named(ARCHITECTURE))
    ships = {path for path in tree.tracked() if "nvrerank/" in path and path.endswith(".py")}
    assert len(ships) > 60
    assert {path for path in ships if "__" not in path} <= listed
    assert {path.split("/")[0] for path in tree.tracked()} <= listed
    assert [path for path in listed if not (ROOT / path).exists()] == []


def test_every_file_that_the_architecture_sends_to_exists():
    table = ARCHITECTURE.partition("## Where is it")[2].partition("## ")[0]
    paths = re.findall(r"`([\w/]+\.py)`", table)
    assert len(paths) > 5
    folders = (ROOT, ROOT / "shared" / "nvrerank")
    assert [path for path in paths if not any((folder / path).exists() for folder in folders)] == []


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


@pytest.mark.parametrize(
    "package",
    ["nvrerank", "nvrerank.evaluation", "nvrerank.show", "langchain_nvrerank", "llamaindex_nvrerank"],
)
def test_every_public_name_is_on_the_page_of_the_api(package):
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    missing = [name for name in import_module(package).__all__ if f"{package}.{name}" not in page]
    assert missing == []
