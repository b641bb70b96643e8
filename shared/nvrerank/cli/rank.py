"""`nvrerank rank`: reranks a person's own text files.

Thin: files in, a table or one JSON document out. Cutting is in passages.py, ranking in ranking.py.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from nvrerank.passages import Passage, cut
from nvrerank.ranking import RankOptions, ScoreMode, rerank
from nvrerank.results import Ranked, Ranking
from nvrerank.scorer import Scorer
from nvrerank.texts import clean_query

from .atomic_write import checked_target, write_atomically
from .output import errors_in_one_line, print_out, say
from .scorer_options import SCORER_HELP, MakeScorer, ScorerOptions, scorer_for

_PAGE = 30  # passages; each one's sentences are scored too


@dataclass(frozen=True, slots=True)
class Source:
    """A passage and the file it is from."""

    file: str
    passage: Passage


def rank(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    files: Annotated[list[str], typer.Argument(help="Text files; - is standard input.", metavar="FILE")],
    *,
    model: Annotated[str | None, typer.Option(help="Folder or hub name; else the bundled model.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda.")] = None,
    hosted: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A model behind an API; the key is NVIDIA_API_KEY.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="The API's address, such as that of a NIM of your own.")
    ] = None,
    scorer: Annotated[
        str | None, typer.Option(metavar="SPEC", help=f"In place of --model and --hosted: {SCORER_HELP}.")
    ] = None,
    top_n: Annotated[int | None, typer.Option(help="At most so many passages; else all.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Least score that stays.")] = None,
    score_mode: Annotated[ScoreMode, typer.Option(help="sigmoid: scores in 0..1.")] = "logit",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Also write a page, with the best sentences marked.")
    ] = None,
) -> None:
    """Order the passages of text files by their relevance to a question, best first.

    A passage is a few paragraphs, cut at blank lines. It comes with its rank, its score, and the file
    and line where it starts.
    """
    make_scorer: MakeScorer = context.obj or scorer_for
    with errors_in_one_line():
        options = RankOptions(top_n, threshold, score_mode)
        query = clean_query(question)
        target = None if html is None else checked_target(html)
        chosen = make_scorer(ScorerOptions(model, revision, device, hosted, base_url, scorer))
        sources = [Source(file, passage) for file in files for passage in cut(_read(file))]
        if not sources:
            say("nothing to rank: no text in " + ", ".join(files))
        ranked = rerank(chosen, query, [source.passage.text for source in sources], **asdict(options))
        print_out(_as_json(ranked, sources) if as_json else _as_table(ranked, sources))
        if target is not None:  # a ranking that was paid for is printed, whatever becomes of the page
            write_atomically(target, _as_page(ranked, sources, chosen))


def _read(file: str) -> str:
    """A file's text; bytes that are not UTF-8 are replaced, and that is said.

    Raises:
        ValueError: It can't be read, or is not text.
        OSError: Standard input can't be read.
    """
    if file == "-":
        if sys.stdin is None:
            raise OSError("standard input is closed: pipe a text into it, or name a file")
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
        say(f"{file} is not all UTF-8: \ufffd stands for what could not be read")
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


def _as_page(ranked: Ranking, sources: Sequence[Source], scorer: Scorer) -> str:
    from nvrerank.show import best_sentences, page

    labels = [f"{source.file}:{source.passage.line}" for source in sources]
    return page(ranked, rows=_PAGE, marks=best_sentences(scorer, ranked, rows=_PAGE), labels=labels)


def _printable(text: str) -> str:
    """On one line, and without what a terminal might obey."""
    return "".join(sign if sign.isprintable() else " " for sign in " ".join(text.split()))


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
