"""The fenced blocks of README and docs, each with what is done with it in the tests.

| fence | in the tests |
|---|---|
| `python` | runs; the blocks of a page share their names, top to bottom |
| `sh` | `nvrerank` runs, `pip` and `make` are compared with pyproject.toml and the Makefile |
| `json` | is JSON; in the configuration of an MCP client our commands parse |
| `output` | is what the block before it printed; numbers with a fraction may differ by a tenth |
| `diff` | its `+` lines import what exists |
| `text` | nothing: a drawing of a tree, which has a test of its own |
| any with `title="Needs ..."` | what it needs is not there: Python is compiled, commands are only read |

Everything else is an error, so that no block is added without a rule. A block can import what the install
lines above it bring, and nothing else (installed.py).
"""

from __future__ import annotations

import json
import re
import shlex
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import typer
from typer.testing import CliRunner

from support.installed import PROJECT, Installed

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
LANGUAGES = {"python", "sh", "json", "output", "diff", "text"}
NOT_OURS = {"docker", "curl", "vllm", "cd", "git"}
"""Commands that a block with `title="Needs ..."` may have."""

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_OTHER_CODE = re.compile(r"(?m)^ *(?:```|~~~|<pre|<code).*|^(?<=\n\n)(?: {4}|\t)(?! *(?:[-*]|\d+\.) ).*")
"""Fences of another make or never closed, HTML, and what is indented below an empty line."""
_INFO = re.compile(r'(?P<language>\w+)(?: title="Needs (?P<needs>[^"]+)")?')
_NUMBER = re.compile(r"-?\d+\.\d+")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, where it starts, and what it needs that tests do not have."""

    page: Path
    line: int
    language: str
    needs: str | None
    code: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page.

    Raises:
        ValueError: A fence has no rule.
    """
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        info = _INFO.fullmatch(found["info"].strip())
        if info is None or info["language"] not in LANGUAGES:
            raise ValueError(f"{page.name}:{line}: no rule for ```{found['info']}, see support/blocks.py")
        yield Block(page, line, info["language"], info["needs"], textwrap.dedent(found["code"]))
    if other := _OTHER_CODE.search(_FENCE.sub("", text)):
        raise ValueError(f"{page.name}: no rule for code that begins with {other[0].strip()!r}")


class Run:
    """The blocks of one page, from top to bottom.

    Args:
        page: The module that the page's names live in.
        servers: Addresses that the pages name, and what answers in their place.
        installed: What the page's install lines have brought.
        capture: Returns what was printed since it was last asked.
    """

    def __init__(
        self,
        page: ModuleType,
        servers: dict[str, str],
        installed: Installed,
        capture: pytest.CaptureFixture[str],
    ) -> None:
        self._names = vars(page)
        self._servers = servers
        self._installed = installed
        self._capture = capture
        self._printed = ""

    def __call__(self, block: Block) -> None:
        """Does what the block's fence says; an exception or a failed assertion names the block."""
        try:
            getattr(self, f"_{block.language}")(block)
        except (Exception, SystemExit) as error:
            error.add_note(f"in the block at {block.place}")
            raise

    def _python(self, block: Block) -> None:
        code = compile("\n" * block.line + self._here(block.code), str(block.page), "exec")
        if block.needs is None:
            exec(code, self._names)  # noqa: S102 # our own pages
            self._printed = self._capture.readouterr().out

    def _sh(self, block: Block) -> None:
        self._printed = ""
        for line in block.code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                self._command(words, block)

    def _command(self, words: list[str], block: Block) -> None:
        match words:
            case ["nvrerank", subcommand, *arguments] if block.needs:
                _parse(subcommand, arguments)
            case ["nvrerank", *arguments]:
                self._printed += _nvrerank([self._here(one) for one in arguments])
            case ["pip", "install", *arguments]:
                check_extras(arguments)
                self._installed.add(arguments)
            case ["make", *arguments]:
                check_targets(arguments)
            case [first, *rest] if "=" in first and not rest:
                pass  # a variable of the shell
            case ["export", assignment] if "=" in assignment:
                pass
            case [command, *_]:
                assert block.needs, f"no rule for the command {command}"
                assert command in NOT_OURS, f"no rule for the command {command}"

    def _json(self, block: Block) -> None:
        for server in json.loads(block.code)["mcpServers"].values():
            assert server["command"] == "nvrerank"
            _parse(server["args"][0], server["args"][1:])

    def _output(self, block: Block) -> None:
        same_output(self._printed, block.code)

    def _diff(self, block: Block) -> None:
        for line in block.code.splitlines():
            if line.startswith("+ pip install"):
                self._command(shlex.split(line[2:]), block)
            elif line.startswith("+ "):
                exec(line[2:], {"__name__": self._names["__name__"]})  # noqa: S102 # our own pages

    def _text(self, block: Block) -> None:
        assert re.match(r"nvrerank/\n", block.code), "text is for trees: print output as ```output"

    def _here(self, code: str) -> str:
        for address, server in self._servers.items():
            code = code.replace(address, server)
        return code


def same_output(printed: str, shown: str) -> None:
    """Compares word by word; numbers with a fraction may differ by a tenth (processors round differently)."""
    (said, numbers), (expected, figures) = (
        (_NUMBER.sub("0.0", text).split(), [float(one) for one in _NUMBER.findall(text)])
        for text in (printed, shown)
    )
    assert said == expected
    assert numbers == pytest.approx(figures, abs=0.11)


def check_extras(arguments: list[str]) -> None:
    """Refuses an extra that pyproject.toml does not have."""
    for found in re.findall(r"(?:nvrerank|^\.)\[([\w,-]+)\]", " ".join(arguments)):
        assert set(found.split(",")) <= set(PROJECT["optional-dependencies"])


def check_targets(arguments: list[str]) -> None:
    """Refuses a target that the Makefile does not have."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in (one for one in arguments if "=" not in one and one != "..."):
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"make {target}"


def _parse(subcommand: str, arguments: list[str]) -> None:
    from nvrerank.cli import app  # as it is loaded for the page

    command = typer.main.get_command(app).commands[subcommand]  # type: ignore[attr-defined]
    command.make_context(subcommand, list(arguments))


def _nvrerank(arguments: list[str]) -> str:
    from nvrerank.cli import app

    expanded = [path for one in arguments for path in (_files(one) or [one])]
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # the command tells them on stderr
        done = CliRunner().invoke(app, expanded, terminal_width=100)
    assert done.exit_code == 0, done.output
    return done.stdout


def _files(pattern: str) -> list[str]:
    return sorted(str(path) for path in Path().glob(pattern)) if "*" in pattern else []
