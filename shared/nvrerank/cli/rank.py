"""`nvrerank rank`: reranks a person's own files.

Thin: files in (inputs.py), a table or a document out (formats.py). Ranking is in ranking.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from nvrerank.models import MODELS
from nvrerank.ranking import RankOptions, ScoreMode, rerank
from nvrerank.results import Ranking
from nvrerank.scorer import Scorer
from nvrerank.texts import clean_query
from nvrerank.windows import LongPassages

from .atomic_write import checked_target, write_atomically
from .formats import as_csv, as_json, as_page, as_table
from .inputs import Source, errors_by_place, read_sources
from .output import errors_in_one_line, print_out, say
from .scorer_options import SCORER_HELP, MakeScorer, Quantize, ScorerOptions, scorer_for

Format = Literal["table", "json", "csv", "html"]


def _hosted_models() -> list[str]:
    return [model.id for model in MODELS if model.hosted and not model.retired]


def rank(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    files: Annotated[
        list[str],
        typer.Argument(
            help="Text, HTML, JSON lines, PDF (extra pdf), or images for a scorer that reads them; folders; "
            "patterns; - is standard input.",
            metavar="FILE",
        ),
    ],
    *,
    model: Annotated[str | None, typer.Option(help="Folder or hub name; else the bundled model.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda; it sets the precision.")] = None,
    quantize: Annotated[Quantize | None, typer.Option(help="For CPUs without bfloat16, faster.")] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens of question and passage that a local model reads.")
    ] = None,
    hosted: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A model behind an API; the key is NVIDIA_API_KEY.",
            autocompletion=_hosted_models,
        ),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="The API's address, such as that of a NIM of your own.")
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option(metavar="VARIABLE", help="What holds the key of another host.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that an API may take, all in all.")] = None,
    scorer: Annotated[
        str | None, typer.Option(metavar="SPEC", help=f"In place of --model and --hosted: {SCORER_HELP}.")
    ] = None,
    long_passages: Annotated[
        LongPassages | None,
        typer.Option(
            help="What becomes of one that the model can't read whole: cut, read in parts, refused."
        ),
    ] = None,
    instruction: Annotated[
        str | None, typer.Option(help="What the model is told of its task, if its prompt has a place for it.")
    ] = None,
    top_n: Annotated[int | None, typer.Option(help="At most so many passages; else all.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Least score that stays.")] = None,
    score_mode: Annotated[ScoreMode, typer.Option(help="sigmoid: scores in 0..1.")] = "logit",
    fuse: Annotated[
        Literal["rrf", "zscore"] | None,
        typer.Option(help="Order also by the input's order (rrf) or by the scores of JSON lines (zscore)."),
    ] = None,
    style: Annotated[Format, typer.Option("--format", help="How the ranking is printed.")] = "table",
    json_too: Annotated[bool, typer.Option("--json", help="As --format json.")] = False,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Also write a page, with the best sentences marked.")
    ] = None,
) -> None:
    """Order the passages of files by their relevance to a question, best first.

    A passage is a few paragraphs, cut at blank lines; a line of JSON ({"text": "...", "score": 0.5}) is one
    as it is. It comes with its place now and before, its score, and the file and line (of a PDF the page)
    where it starts.
    """
    make_scorer: MakeScorer = context.obj or scorer_for
    with errors_in_one_line(context):
        options = RankOptions(top_n, threshold, score_mode, fuse=fuse)
        query = clean_query(question)
        target = None if html is None else checked_target(html)
        wanted = ScorerOptions(
            model=model,
            revision=revision,
            device=device,
            hosted=hosted,
            base_url=base_url,
            api_key_env=api_key_env,
            long_passages=long_passages,
            max_length=max_length,
            quantize=quantize,
            timeout=timeout,
            scorer=scorer,
        )
        chosen = make_scorer(wanted)
        if instruction is not None:
            chosen = chosen.with_instruction(instruction)
        sources = read_sources(files, images=chosen.reads_images)
        scores = [source.score for source in sources]
        if fuse == "zscore" and None in scores:
            raise ValueError(
                "--fuse zscore needs what retrieval scored each passage: give a file of JSON lines (.jsonl) "
                'such as {"text": "...", "score": 0.5}, or use --fuse rrf'
            )
        with errors_by_place(sources):
            ranking = rerank(
                chosen,
                query,
                [source.text for source in sources],
                top_n=options.top_n,
                threshold=options.threshold,
                score_mode=options.score_mode,
                fuse=options.fuse,
                retrieval_scores=scores if any(score is not None for score in scores) else None,
            )
        if not ranking:
            say(_why_nothing(files, len(sources), options))
        print_out(_formatted(ranking, sources, chosen, "json" if json_too else style))
        if target is not None:  # a ranking that was paid for is printed, whatever becomes of the page
            write_atomically(target, as_page(ranking, sources, chosen))


def _formatted(ranking: Ranking, sources: Sequence[Source], scorer: Scorer, style: Format) -> str:
    if style == "html":
        return as_page(ranking, sources, scorer)
    write = {"json": as_json, "csv": as_csv, "table": as_table}[style]
    return write(ranking, sources)


def _why_nothing(files: Sequence[str], count: int, options: RankOptions) -> str:
    if not count:
        return "nothing to rank: no text in " + ", ".join(files)
    if options.top_n == 0:
        return f"none of {count} passages is shown: --top-n is 0"
    return (
        f"none of {count} passages scored {options.threshold:g} or more: lower --threshold, or leave it out"
    )
