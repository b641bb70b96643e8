"""Every notebook runs as it stands, is committed with what it showed, and calls public names only."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from notebooks.execute import FOLDER, blemishes, fingerprint

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
OURS = ("nvrerank", "langchain_nvrerank", "llamaindex_nvrerank")
ANSWERS = {
    "langchain_rag": "Nobody is told what another member has borrowed",
    "llamaindex_rag": "No appointment is needed except",
    "hosted_and_local": "taken out of the country",
    "agent": "For a stolen item",
    "langgraph": "taken out of the country",
}
"""What the context has to hold, so that a language model could answer."""

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def answered(notebook: nbformat.NotebookNode, answer: str) -> dict[str, bool]:
    """Whether each context that the notebook ends in holds the answer."""
    texts = {
        cell.id: " ".join(" ".join(output.get("text", "") for output in cell.outputs).split())
        for cell in code(notebook)
        if cell.id.startswith("context-")
    }
    return {name: answer in text for name, text in texts.items()}


def kinds(notebook: nbformat.NotebookNode) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """What kind of output each cell has: they differ where a cell's output went, came or became another."""
    return [
        (cell.id, [(output.output_type, sorted(output.get("data", ()))) for output in cell.outputs])
        for cell in code(notebook)
    ]


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def run(request, tmp_path_factory) -> tuple[nbformat.NotebookNode, nbformat.NotebookNode]:
    """A notebook as it is committed, and executed by what `make notebooks` runs."""
    path, folder = request.param, tmp_path_factory.mktemp("executed")
    command = [sys.executable, FOLDER / "execute.py", "--into", folder, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return read(path), read(folder / path.name)


@pytest.mark.slow
def test_it_runs_offline_without_errors_and_shows_what_is_committed(run):
    committed, executed = run
    assert list(blemishes(executed)) == []
    assert kinds(executed) == kinds(committed)


@pytest.mark.slow
def test_executing_it_again_changes_no_code_and_no_metadata(run):
    committed, executed = run
    assert executed.metadata == committed.metadata
    assert [cell.source for cell in executed.cells] == [cell.source for cell in committed.cells]
    assert all(cell.metadata == {} for cell in code(executed))


@pytest.mark.slow
def test_its_contexts_are_answered_as_they_were_when_it_is_executed_again(run, request):
    answer = ANSWERS.get(request.node.callspec.params["run"].stem, "")
    committed, executed = run
    assert answered(executed, answer) == answered(committed, answer)


@pytest.mark.parametrize("name", ANSWERS)
def test_the_context_holds_the_answer_with_reranking_and_does_not_without(name):
    contexts = answered(read(FOLDER / f"{name}.ipynb"), ANSWERS[name])
    assert contexts == {"context-without": False, "context-with": True}


@each_notebook
def test_it_is_committed_with_the_outputs_of_its_own_code(path):
    notebook = read(path)
    numbers = [cell.execution_count for cell in code(notebook)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert any(cell.outputs for cell in code(notebook))
    assert notebook.metadata.get("executed") == fingerprint(notebook), "run `make notebooks`"


@each_notebook
def test_its_outputs_have_no_errors_no_stderr_and_no_path_of_a_machine(path):
    assert list(blemishes(read(path))) == []


@each_notebook
def test_it_stays_under_300_kb(path):
    assert path.stat().st_size < 300_000


@each_notebook
def test_a_sentence_stands_before_each_step_and_every_cell_has_a_name(path):
    notebook = read(path)
    assert notebook.cells[0].cell_type == "markdown"
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    words = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    assert len(words) >= len(code(notebook)) / 2


@each_notebook
def test_it_opens_with_how_to_install_what_it_needs(path):
    assert "pip install" in read(path).cells[0].source


@each_notebook
def test_it_calls_public_names_only(path):
    sources = [cell.source for cell in code(read(path))]
    assert any(name in source for name in OURS for source in sources)
    assert [name for source in sources for name in private(source)] == []


def private(source: str) -> Iterator[str]:
    """What a cell takes of ours that is not in an `__all__`, and every private attribute of others."""
    lines = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if _ours(one.name) and not _is_public(one.name))
        elif isinstance(node, ast.ImportFrom) and _ours(node.module or ""):
            yield from (one.name for one in node.names if not _offers(node.module, one.name))
        elif isinstance(node, ast.Attribute) and _is_private(node):
            yield node.attr


def _is_private(node: ast.Attribute) -> bool:
    hidden = node.attr.startswith("_") and not node.attr.endswith("__")
    return hidden and ast.unparse(node.value) != "self"


def _ours(module: str) -> bool:
    return module.partition(".")[0] in OURS


def _is_public(module: str) -> bool:
    return hasattr(importlib.import_module(module), "__all__")


def _offers(module: str, name: str) -> bool:
    return name in getattr(importlib.import_module(module), "__all__", ())


@pytest.mark.parametrize(
    "source",
    [
        "from nvrerank.ranking import rerank",
        "from nvrerank import texts",
        "from nvrerank import *",
        "import nvrerank.ranking",
        "from langchain_nvrerank.documents import value_of",
        "scorer._model",
    ],
)
def test_a_private_name_would_be_found(source):
    assert list(private(source)) != []


def test_public_names_and_other_packages_are_not_called_private():
    source = (
        "from nvrerank import rerank\nimport nvrerank\nfrom json import decoder\n%time 1\nx.__name__\nself._x"
    )
    assert list(private(source)) == []


@pytest.mark.parametrize(
    "output",
    [
        new_output("error", ename="ValueError", evalue="no", traceback=[]),
        new_output("stream", name="stderr", text="DeprecationWarning"),
        new_output("stream", name="stdout", text="saved as /home/ann/notes.txt"),
        new_output("display_data", data={"text/html": r"<p>C:\Users</p>"}),
        new_output("execute_result", data={"text/plain": "<object at 0x7f56f3ded300>"}),
    ],
)
def test_a_blemish_would_be_found(output):
    assert len(list(blemishes(new_notebook(cells=[new_code_cell("x", outputs=[output])])))) == 1


def test_urls_and_pictures_are_no_blemish():
    data = {"text/plain": "see https://example.org/home/page", "image/png": "aa/tmp/bb"}
    notebook = new_notebook(cells=[new_code_cell("x", outputs=[new_output("display_data", data=data)])])
    assert list(blemishes(notebook)) == []


def test_outputs_of_other_code_are_stale():
    before, after = (new_notebook(cells=[new_code_cell(source)]) for source in ("x = 1", "x = 2"))
    assert fingerprint(before) != fingerprint(after)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["import sys\nprint('too late', file=sys.stderr)", "1 / 0 # too late"])
def test_a_notebook_that_fails_is_left_as_it_was(source, tmp_path):
    path = tmp_path / "broken.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source)]), path)
    as_it_was = path.read_bytes()
    command = [sys.executable, FOLDER / "execute.py", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "too late" in done.stdout
    assert path.read_bytes() == as_it_was
