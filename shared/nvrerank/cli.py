"""The command `nvrerank`: reranks a person's own text files, and lists the models we know.

Thin: files in, a table or one JSON document out. Cutting is in passages.py, ranking in ranking.py.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from .errors import NVRerankError
from .models import MODELS, RerankModel
from .passages import Passage, cut
from .ranking import Ranked, RankOptions, ScoreMode, rerank
from .scorer import Scorer
from .texts import clean_query


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the options say of the scorer; each is None where it was not given."""

    model: str | None = None
    revision: str | None = None
    device: str | None = None
    hosted: str | None = None
    base_url: str | None = None


MakeScorer = Callable[[Wanted], Scorer]
"""A program that embeds the command, or tests it, gives its own as the context's object:
`app(obj=make_scorer)`."""

app = typer.Typer(
    help="Rerank text by its relevance to a question.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # they would print the values of variables
)


@dataclass(frozen=True, slots=True)
class Source:
    """A passage and the file it is from."""

    file: str
    passage: Passage


@app.command()
def rank(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    files: Annotated[list[str], typer.Argument(help="Text files; - is standard input.", metavar="FILE")],
    *,
    model: Annotated[str | None, typer.Option(help="Folder or hub name; else the embedded model.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda.")] = None,
    hosted: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A model behind an API; the key is NVIDIA_API_KEY.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="The API's address, such as that of a NIM of your own.")
    ] = None,
    top_n: Annotated[int | None, typer.Option(help="At most so many passages; else all.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Least score that stays.")] = None,
    score_mode: Annotated[ScoreMode, typer.Option(help="sigmoid: scores in 0..1.")] = "logit",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Order the passages of text files by their relevance to a question, best first.

    A passage is a few paragraphs, cut at blank lines. It comes with its rank, its score, and the file
    and line where it starts.
    """
    make_scorer: MakeScorer = context.obj or _scorer
    with _errors_in_one_line():
        options = RankOptions(top_n, threshold, score_mode)
        query = clean_query(question)
        scorer = make_scorer(Wanted(model, revision, device, hosted, base_url))
        sources = [Source(file, passage) for file in files for passage in cut(_read(file))]
        if not sources:
            _say("nothing to rank: no text in " + ", ".join(files))
        ranked = rerank(scorer, query, [source.passage.text for source in sources], **asdict(options))
    _print(_as_json(ranked, sources) if as_json else _as_table(ranked, sources))


@app.command()
def models() -> None:
    """List NVIDIA's rerankers: context in tokens, whether hosted, what to use instead."""
    rows = [("model", "context", "hosted", "use instead"), *map(_model_row, MODELS)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        _print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _model_row(model: RerankModel) -> tuple[str, str, str, str]:
    hosted = "no" if model.hosted is None else f"until {model.retired}" if model.retired else "yes"
    return model.id, str(model.context), hosted, model.successor or ""


def _scorer(wanted: Wanted) -> Scorer:
    """Hosted if an API is named, else on this machine; each room is imported only where it is used.

    Raises:
        ValueError: Options of both were given.
    """
    if wanted.hosted is None and wanted.base_url is None:
        from .local import LocalScorer

        return LocalScorer(wanted.model, revision=wanted.revision, device=wanted.device)
    if wanted.model or wanted.revision or wanted.device:
        raise ValueError(
            "--model, --revision and --device are for this machine, --hosted and --base-url for an API"
        )
    from .hosted import HostedScorer

    return HostedScorer(wanted.hosted, base_url=wanted.base_url)


def _read(file: str) -> str:
    """A file's text; bytes that are not UTF-8 are replaced, and that is said.

    Raises:
        ValueError: It can't be read, or is not text.
    """
    if file == "-":
        data = sys.stdin.buffer.read()
    elif Path(file).is_dir():
        raise ValueError(f"{file} is a directory: name the files in it")
    else:
        try:
            data = Path(file).read_bytes()
        except OSError as error:
            raise ValueError(f"{file} can't be read: {error.strerror}") from error
    if b"\0" in data:
        raise ValueError(f"{file} is not a text file in UTF-8")
    text = data.decode("utf-8-sig", "replace")
    if "\ufffd" in text and "\ufffd".encode() not in data:
        _say(f"{file} is not all UTF-8: \ufffd stands for what could not be read")
    return text


def _as_json(ranked: Sequence[Ranked], sources: Sequence[Source]) -> str:
    entries = []
    for place, one in enumerate(ranked, start=1):
        file, passage = sources[one.index].file, sources[one.index].passage
        entry = {"rank": place, "index": one.index, "score": one.score}
        entries.append({**entry, "file": file, "line": passage.line, "text": passage.text})
    return json.dumps(entries, indent=2)


def _as_table(ranked: Sequence[Ranked], sources: Sequence[Source]) -> str:
    width = shutil.get_terminal_size((100, 24)).columns
    lines = []
    for place, one in enumerate(ranked, start=1):
        file, passage = sources[one.index].file, sources[one.index].passage
        lines.append(f"{place:>3}  {one.score:8.3f}  {_printable(file)}:{passage.line}")
        lines.append(_shortened(" " * 15 + _printable(passage.text), width))
    return "\n".join(lines)


def _printable(text: str) -> str:
    """On one line, and without what a terminal might obey."""
    return "".join(sign if sign.isprintable() else " " for sign in " ".join(text.split()))


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _print(text: str) -> None:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a console may lack a sign
    if text:
        typer.echo(text)


def _say(message: str) -> None:
    typer.echo(f"nvrerank: {message}", err=True)


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    """Exit status 2 for a bad argument, 1 for what went wrong in reranking."""
    try:
        yield
    except NVRerankError as error:
        _fail(error, 1)
    except ValueError as error:
        _fail(error, 2)


def _fail(error: Exception, status: int) -> NoReturn:
    _say(" ".join(str(error).split()))
    raise typer.Exit(status) from error
