"""`nvrerank mcp`: reranking as tools of a language model, by the Model Context Protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nvrerank import __version__
from nvrerank.errors import MissingExtraError, NVRerankError
from nvrerank.images import caption_of
from nvrerank.ranking import arerank
from nvrerank.results import Ranked
from nvrerank.scorer import Scorer
from nvrerank.scorer_specs import scorer_of

from .inputs import Source, errors_by_place
from .output import errors_in_one_line
from .roots import MOST_FILES, Roots, shortened
from .scorer_options import SCORER_HELP

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

MOST_PASSAGES = 1000
_SHOWN = 160  # characters of a text that the language model itself has sent

_INSTRUCTIONS = """\
Orders texts by how well they answer a question, with a reranking model that reads each one together with
the question. Use it where a search, a grep or a long listing gives more than you want to read: you get the
few that answer, not those that merely share words. Ask a full question in plain language, not keywords.
Scores can be compared within one answer only; the highest is the best there is, which may still be none."""
_RERANK_TEXTS = """\
Order texts that you have by how well they answer a question, best first.
question: a full question, in plain language.
texts: the candidates, such as search results or paragraphs; at most {most}.
top_n: how many you want back.
Each result has the index of the text in your list (from 0), its score and how it begins. "truncated": true
says that it was too long to be read to its end: send it in parts. Blank texts are left out."""
_FIND_IN_FILES = """\
Find which files answer a question, and where. Reads text, source code, Markdown, HTML, JSON lines and PDF;
returns the best passages, grouped by file, best file first.
question: a full question, in plain language.
paths: files or folders to search, absolute or relative; leave it out to search everything.
top_n: how many passages you want, of all files together.
Only files in these folders can be read: {roots}. Hidden files can't.
Each passage has the line (in a PDF the page) where it begins: read on from there. "not_read" says what could
not be read, and why; don't take it for searched. A call reads at most {files} files and {most} passages; if
there are more, it fails and says what to choose from."""


@dataclass(frozen=True)  # the SDK takes slots for defaults
class TextFound:
    """A place in the order of `rerank_texts`."""

    index: int
    score: float
    begins: str
    truncated: bool


@dataclass(frozen=True)
class PassageFound:
    """One of the best passages; a file has lines or pages, an image neither."""

    score: float
    line: int | None
    page: int | None
    text: str


@dataclass(frozen=True)
class FileFound:
    """A file with passages among the best."""

    file: str
    passages: list[PassageFound]


@dataclass(frozen=True)
class FilesFound:
    """What `find_in_files` returns."""

    files: list[FileFound]
    searched: str
    not_read: list[str]


def mcp(
    context: typer.Context,
    *,
    root: Annotated[
        list[Path],
        typer.Option(
            help="A folder whose files the language model may search; repeatable. Without, it has no files.",
            metavar="FOLDER",
        ),
    ] = [],  # noqa: B006 # typer copies it
    scorer: Annotated[str, typer.Option(help=SCORER_HELP)] = "bundled",
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda, for a local model.")] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens of question and passage that a local model reads.")
    ] = None,
    instruction: Annotated[
        str | None, typer.Option(help="What the model is told of its task, if its prompt has a place for it.")
    ] = None,
    max_passages: Annotated[
        int, typer.Option(help="At most so many texts or passages a call.", min=1)
    ] = MOST_PASSAGES,
) -> None:
    """Give a language model reranking as tools, by the Model Context Protocol over stdin and stdout.

    Its client starts this command. The tools are rerank_texts and, with --root, find_in_files.
    """
    with errors_in_one_line(context):
        scoring = scorer_of(scorer, device=device, max_length=max_length)
        if instruction is not None:
            scoring = scoring.with_instruction(instruction)
        mcp_server(scoring, root, max_passages=max_passages).run()


def mcp_server(
    scorer: Scorer, roots: Sequence[Path] = (), *, max_passages: int = MOST_PASSAGES
) -> MCPServer[Any]:
    """The server, of the official SDK.

    Args:
        scorer: What the tools score with.
        roots: Folders whose files can be read; none: there is no tool that reads files.
        max_passages: At most so many texts or passages a call.

    Raises:
        MissingExtraError: The SDK is not installed.
        ValueError: A root is no folder.
    """
    try:
        from anyio.to_thread import run_sync
        from mcp.server.mcpserver import MCPServer
        from mcp_types import ToolAnnotations
    except ImportError as error:
        raise MissingExtraError(f"nvrerank mcp needs {error.name}: pip install 'nvrerank[mcp]'") from error
    readable = Roots(roots)

    async def rerank_texts(question: str, texts: list[str], top_n: int = 5) -> list[TextFound]:
        with _errors_for_the_model():
            if len(texts) > max_passages:
                raise ValueError(f"{len(texts)} texts are more than {max_passages}, the most for a call")
            return _texts_found(await arerank(scorer, question, texts, top_n=top_n))

    async def find_in_files(question: str, paths: list[str] | None = None, top_n: int = 5) -> FilesFound:
        with _errors_for_the_model():
            read = await run_sync(
                lambda: readable.read(paths or (), images=scorer.reads_images, most=max_passages)
            )
            with errors_by_place(read.sources):
                ranking = await arerank(scorer, question, [one.text for one in read.sources], top_n=top_n)
        searched = f"{read.files} files, {len(read.sources)} passages"
        return FilesFound(_files_found(ranking, read.sources), searched, shortened(read.not_read))

    server = MCPServer[Any]("nvrerank", instructions=_INSTRUCTIONS, version=__version__, log_level="WARNING")
    harmless = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
    told = {"most": max_passages, "files": MOST_FILES, "roots": ", ".join(map(str, readable.folders))}
    server.add_tool(rerank_texts, description=_RERANK_TEXTS.format(**told), annotations=harmless)
    if roots:
        server.add_tool(find_in_files, description=_FIND_IN_FILES.format(**told), annotations=harmless)
    return server


def _texts_found(ranking: Sequence[Ranked]) -> list[TextFound]:
    return [
        TextFound(one.index, one.score, one.text[:_SHOWN], one.truncated is True)
        for one in ranking
        if one.score is not None
    ]


def _files_found(ranking: Sequence[Ranked], sources: Sequence[Source]) -> list[FileFound]:
    found: dict[str, list[PassageFound]] = {}
    for one in ranking:
        source = sources[one.index]
        if one.score is not None:
            passage = PassageFound(one.score, source.line, source.page, caption_of(source.text))
            found.setdefault(source.file, []).append(passage)
    return [FileFound(file, passages) for file, passages in found.items()]


@contextmanager
def _errors_for_the_model() -> Iterator[None]:
    """Within it an error reaches the language model with its words; those of others the SDK withholds."""
    from mcp.server.mcpserver.exceptions import ToolError

    try:
        yield
    except (NVRerankError, ValueError) as error:
        raise ToolError(str(error)) from error
