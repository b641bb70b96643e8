"""`make notebooks`: executes the notebooks offline and writes their outputs back, the same ones each time.

A notebook whose outputs nobody should see (an error, words on stderr, a path of this machine) is not written.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
SECONDS_A_CELL = 300

_SERVICES = re.compile(r"NVIDIA_\w+|(?:\w+_)?proxy", re.IGNORECASE)
_OF_A_MACHINE = re.compile(
    r"(?<![\w.])/(?:home|Users|root|tmp|private|workspace|work)/[\w.-]+"
    r"|\b[A-Za-z]:\\\w+"
    r"|\bat 0x[0-9a-f]{6,}"
    r"|/site-packages/|ipykernel_\d+"
)


def executed(path: Path) -> NotebookNode:
    """The notebook with the outputs of a fresh kernel of this Python.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    with TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=SECONDS_A_CELL,
            resources={"metadata": {"path": str(path.parent)}},
            record_timing=False,
            coalesce_streams=True,
        )
        manager = client.create_kernel_manager()
        if sys.platform != "win32":  # through files that only this user may open: no port, no network
            manager.transport, manager.ip = "ipc", f"{folder}/kernel"
        client.execute()
    return _tidy(notebook)


def fingerprint(notebook: NotebookNode) -> str:
    """What the code was when it was executed: outputs of other code are stale."""
    code = "\0".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def blemishes(notebook: NotebookNode) -> Iterator[str]:
    """What no reader should find in the outputs, each with its cell."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            words = "\n".join(_texts(output))
            if output.output_type == "error":
                yield f"{cell.id}: {output.ename}: {output.evalue}"
            elif output.get("name") == "stderr":
                yield f"{cell.id}: on stderr: {words.strip()[:500]}"
            elif found := _OF_A_MACHINE.search(words):
                yield f"{cell.id}: names this machine: {found[0]}"


def _texts(output: NotebookNode) -> Iterator[str]:
    yield output.get("text", "")
    for kind, data in output.get("data", {}).items():
        if not kind.startswith("image/png"):
            yield str(data)


def _tidy(notebook: NotebookNode) -> NotebookNode:
    """Without what differs between machines and runs."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "executed": fingerprint(notebook),
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    return notebook


def _alone(folder: str) -> None:
    """Kernels started from now on reach no service and read no settings of this user."""
    for name in [name for name in os.environ if _SERVICES.fullmatch(name)]:
        del os.environ[name]
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else a debugger that nobody asked for warns
        "PYTHONWARNINGS": "ignore:IProgress not found",  # tqdm, which draws no bar here
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # pictures go into the notebook
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel is this environment's
        "JUPYTER_CONFIG_DIR": folder,
        "JUPYTER_RUNTIME_DIR": folder,
        "IPYTHONDIR": folder,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Executes the notebooks that are named, or all.

    Returns:
        0; 1 if a notebook failed or has a blemish.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="which (all)")
    parser.add_argument("--into", type=Path, help="write to this folder instead of in place")
    wanted = parser.parse_args(arguments)
    failed = False
    with TemporaryDirectory() as folder:
        _alone(folder)
        for path in wanted.notebooks or sorted(FOLDER.glob("*.ipynb")):
            try:
                notebook = executed(path)
                wrong = list(blemishes(notebook))
            except CellExecutionError as error:
                wrong = [str(error)]
            failed |= bool(wrong)
            print(path.name, *(wrong or ["executed"]), sep="\n  ", flush=True)
            if not wrong:
                target = (wanted.into or path.parent) / path.name
                nbformat.write(notebook, target)  # type: ignore[no-untyped-call]
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
