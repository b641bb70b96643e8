"""Every code block of README and docs runs, or says in its title what it needs."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from fake_nim import FakeNIM
from opentelemetry.util._once import Once
from support.blocks import PAGES, ROOT, Block, Run, blocks, check_extras, check_targets, same_output
from support.installed import Installed, only

NEEDS = {
    "docs/bulk.md": ["Ray", "a Ray cluster with GPUs"],
    "docs/evaluation.md": [
        "the data sets and a key",
        "the data sets",
        "the data sets, run files, weights and a key",
    ],
    "docs/hosted.md": ["Docker, an NVIDIA GPU and an NGC key"],
    "docs/images.md": ["a key"],
    "docs/serving.md": ["a terminal of its own", "a terminal of its own", "Docker", "Ray"],
}
"""What the pages' blocks need that is not here: these blocks, and no other, do not run."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[Block], None]]:
    """Runs a page's blocks in a folder of their own that has the repository's notebooks; a NIM answers."""
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    page = ModuleType("page")
    monkeypatch.setitem(sys.modules, page.__name__, page)  # where the type hints of its classes are looked up
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", None)  # what a page sets up is its own
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER_SET_ONCE", Once())
    installed = Installed()
    with FakeNIM(models=[{"id": "nvidia/llama-nemotron-rerank-1b-v2"}]) as nim, only(installed, page):
        monkeypatch.setenv("NVIDIA_BASE_URL", nim.url)
        monkeypatch.setenv("NVIDIA_API_KEY", "nvapi-of-the-tests")
        yield Run(page, {"http://localhost:8000": f"http://{nim.host}"}, installed, capsys)
    vars(page).clear()
    gc.collect()  # here, where it is forgiven that LlamaIndex's chat memory leaves its database open


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*aiosqlite.core.Connection:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecationWarning")  # LlamaIndex's agents cause them
@each_page
def test_the_blocks_of_a_page_run_from_top_to_bottom(page, run):
    for block in blocks(page):
        run(block)


def test_no_other_block_than_these_is_left_out():
    left_out = {
        str(page.relative_to(ROOT)): [block.needs for block in blocks(page) if block.needs] for page in PAGES
    }
    assert {page: needs for page, needs in left_out.items() if needs} == NEEDS


def block_of(code: str, language: str = "sh", needs: str | None = None) -> Block:
    return Block(ROOT / "README.md", 1, language, needs, code)


@pytest.mark.parametrize("fence", ["```", "```bash", "```python norun", '```python title="An example"'])
def test_a_fence_without_a_rule_is_refused(tmp_path, fence):
    page = tmp_path / "page.md"
    page.write_text(f"Some words.\n\n{fence}\n1 / 0\n```\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"page\.md:3: no rule for"):
        list(blocks(page))


@pytest.mark.parametrize(
    "code",
    [
        "````python\n1 / 0\n````",
        "~~~python\n1 / 0\n~~~",
        "```python\n1 / 0",
        "<pre>1 / 0</pre>",
        "    1 / 0",
    ],
)
def test_code_that_is_written_in_another_way_is_refused(tmp_path, code):
    page = tmp_path / "page.md"
    page.write_text(f"Some words.\n\n{code}\n\nMore words.\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"page\.md.* no rule for"):
        list(blocks(page))


@pytest.mark.parametrize(
    "block",
    [
        block_of("1 / 0", "python"),
        block_of("def (", "python", "a GPU"),
        block_of("nvrerank rank 'who?' no-such-file.txt"),
        block_of("nvrerank rank 'who?' notes.txt --best-of 3", needs="a GPU"),
        block_of("curl https://example.org"),
        block_of("rm notes.txt", needs="courage"),
        block_of("pip install 'nvrerank[nonsense]'"),
        block_of("pip install 'nvrerank[local,non-sense]'"),
        block_of("make nonsense"),
        block_of(
            '{"mcpServers": {"nvrerank": {"command": "nvrerank", "args": ["mcp", "--roots", "."]}}}', "json"
        ),
        block_of("{", "json"),
        block_of("something was printed", "output"),
        block_of("+ from nvrerank import nonsense", "diff"),
        block_of("some words", "text"),
    ],
    ids=lambda block: block.code,
)
def test_a_block_that_is_wrong_fails(block, run):
    with pytest.raises((Exception, SystemExit)) as raised:
        run(block)
    assert "README.md:1" in raised.value.__notes__[0]


@pytest.mark.parametrize(
    ("installs", "code", "module"),
    [
        ("nvrerank", "from nvrerank import LocalScorer", "local scoring needs"),
        ("'nvrerank[local]'", "import langchain_nvrerank", "langchain_core"),
        ("'nvrerank[langchain]'", "from langchain_nvrerank import RerankMiddleware", "langchain"),
        ("'nvrerank[langchain]'", "from langgraph.graph import StateGraph", "langgraph"),
        ("'nvrerank[llamaindex]'", "import langchain_core", "langchain_core"),
    ],
)
def test_a_page_can_import_what_its_install_lines_bring_and_nothing_else(run, installs, code, module):
    run(block_of(f"pip install {installs}"))
    with pytest.raises(ImportError, match=module):
        run(block_of(code, "python"))
    run(block_of("pip install 'nvrerank[all]'"))
    run(block_of(code, "python"))


def test_what_was_printed_is_compared_and_numbers_nearly():
    same_output("1  3.14  yes\n", "1 3.13   yes")
    for other in ("1 3.3 yes", "2 3.14 yes", "1 3.14 no"):
        with pytest.raises(AssertionError):
            same_output("1 3.14 yes", other)


def test_extras_and_targets_that_exist_are_accepted():
    check_extras(["nvrerank[local,langchain]"])
    check_extras(["-e", ".[all]"])
    check_targets(["bench", "BENCH=--contended"])
