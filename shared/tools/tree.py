"""The annotated tree of docs/architecture.md: each module with the first sentence of its docstring.

`python shared/tools/tree.py` writes it anew; a test fails while the page has another one.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
BLOCK = re.compile(r"```text\nnvrerank/\n.*?```", re.DOTALL)

WORDS = {
    ".ci/": "What a change must pass",
    ".dockerignore": "All but what the image is built from",
    ".github/": "Workflows that test and publish, and the forms of an issue",
    ".gitignore": "What git leaves out",
    ".pre-commit-config.yaml": "The checks of `make lint` before each commit",
    "CHANGELOG.md": "What a user notices, by version",
    "CITATION.cff": "How to cite it",
    "CONTRIBUTING.md": "Where things go, and how we write",
    "Dockerfile": "A server without root that writes nothing",
    "LICENSE": "Apache-2.0",
    "Makefile": "run, test, test-fast, lint, docs, notebooks, benchmarks, bundled, bundled-finish, clean",
    "README.md": "The first things to know",
    "SECURITY.md": "How to report, and what we promise",
    "docs/": "The site that `make docs` builds",
    "docs/pictures/": "What README and docs show",
    "mkdocs.yml": "The site's settings",
    "notebooks/": "Seven notebooks, executed in the tests",
    "notebooks/charts/": "Pictures of an annual report, captions, questions; made up for them, CC0",
    "notebooks/handbook/": "What they search, and questions with their answers; made up for them, CC0",
    "pyproject.toml": "One distribution: its dependencies, extras, and the settings of all tools",
    "shared/": "A source root, not a package: `import shared` fails",
    "shared/nvrerank/local/bundled/MODEL_CARD.md": "What it is, where it comes from, how good it is",
    "shared/nvrerank/local/bundled/weights/": "Weights, configuration and tokenizer",
    "shared/nvrerank/server/page/": "The page for a person: HTML, CSS and a script, as they are sent",
    "shared/demo/questions.toml": "71 questions and the topics that answer them",
    "shared/tools/": "What keeps the house in order; outside the wheel",
    "tests/": "By what they promise; contract/ holds every scorer to the same, official/ both adapters",
}
"""What things are that have no docstring."""


def tracked() -> list[str]:
    """What git knows, but for the tests' own files."""
    command = ["git", "ls-files"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    return [path for path in listing.stdout.splitlines() if not path.startswith("tests/")]


def shown() -> dict[str, str]:
    """Paths, those of folders with a / at the end, and what each is.

    Raises:
        KeyError: Something at the top, or a folder, is nowhere explained.
    """
    found = {"tests/": WORDS["tests/"]}
    for path in tracked():
        folders = [f"{parent.as_posix()}/" for parent in Path(path).parents if parent.name]
        if path.endswith(".py") and "__" not in path:
            for folder in folders:
                found[folder] = WORDS.get(folder) or sentence(f"{folder}__init__.py")
            found[path] = sentence(path)
        elif folders:
            found[folders[-1]] = WORDS.get(folders[-1]) or sentence(f"{folders[-1]}__init__.py")
        else:
            found[path] = WORDS[path]
    return found | WORDS


def sentence(module: str) -> str:
    """The first sentence of a module's docstring."""
    words = ast.get_docstring(ast.parse((ROOT / module).read_text(encoding="utf-8")))
    if not words:
        raise KeyError(module)
    return re.split(r"(?<!e\.g)\.(?:\s|$)", " ".join(words.split("\n\n")[0].split()))[0]


def lines(found: dict[str, str]) -> Iterator[str]:
    """The tree: folders first, then files, by name; what each is stands in one column."""
    for path in sorted(found, key=_place):
        *parents, name = path.rstrip("/").split("/")
        row = "  " * (len(parents) + 1) + name + "/" * path.endswith("/")
        yield f"{row:<30}  # {found[path]}"


def _place(path: str) -> list[tuple[bool, str]]:
    *folders, name = path.rstrip("/").split("/")
    return [*((False, folder) for folder in folders), (not path.endswith("/"), name)]


def block() -> str:
    """The tree as the page has it."""
    return "\n".join(["```text", "nvrerank/", *lines(shown()), "```"])


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(block().replace("\\", r"\\"), page), encoding="utf-8")
