"""`nvrerank eval`: measures rerankers on data sets in BEIR's layout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from nvrerank.fusion import FusionName

from .output import errors_in_one_line, print_out, say
from .scorer_options import SCORER_HELP

if TYPE_CHECKING:
    from nvrerank.evaluation import Report

Format = Literal["text", "markdown", "json"]


def evaluate(
    context: typer.Context,
    data: Annotated[list[Path], typer.Argument(help="Folders in BEIR's layout.", metavar="FOLDER")],
    *,
    retriever: Annotated[
        list[str],
        typer.Option(help="bm25, embedding:NAME or run:FILE ({set} in it: the set's name); repeatable."),
    ] = ["bm25"],  # noqa: B006 # typer copies it
    scorer: Annotated[
        list[str],
        typer.Option(help=f"{SCORER_HELP}; repeatable."),
    ] = [],  # noqa: B006
    fuse: Annotated[
        list[str],
        typer.Option(
            help="rrf or zscore: further rows, each scorer's order fused with retrieval's; repeatable."
        ),
    ] = [],  # noqa: B006
    top_k: Annotated[int, typer.Option(help="Candidates a query.")] = 40,
    metrics: Annotated[
        str, typer.Option(help="As ir-measures names them; the first is shown set by set.")
    ] = "R@5,nDCG@10,R@1",
    style: Annotated[Format, typer.Option("--format", help="How the table is printed.")] = "text",
    out: Annotated[
        Path,
        typer.Option(help="Run files, vectors and scores are kept here; the same command goes on from them."),
    ] = Path("nvrerank-eval"),
    split: Annotated[str, typer.Option(help="Which file of qrels/ counts.")] = "test",
    limit_queries: Annotated[
        int | None, typer.Option(help="A sample of so many queries of each set.")
    ] = None,
    keep_identical_ids: Annotated[
        bool,
        typer.Option(
            "--keep-identical-ids",
            help="Keep the passage with the query's own id among its candidates; else dropped, as in BEIR.",
        ),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Refuse judgements and run files that name what is not there."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the sample and the intervals.")] = 0,
    query_languages: Annotated[
        str | None, typer.Option(metavar="en,de", help="Of sets in several languages; else all.")
    ] = None,
    passage_languages: Annotated[str | None, typer.Option(metavar="en,de", help="Likewise.")] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens of query and passage that local models read.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda.")] = None,
    instruction: Annotated[
        str | None,
        typer.Option(help="What each scorer is told of its task, if its prompt has a place for it."),
    ] = None,
    resamples: Annotated[int, typer.Option(help="Draws behind each interval.")] = 10_000,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="What scores; ray: Ray Data, on the cluster that RAY_ADDRESS names."),
    ] = "local",
    actors: Annotated[int, typer.Option(help="Copies of each scorer on Ray.")] = 1,
    gpus_per_actor: Annotated[float, typer.Option(help="GPUs for each.")] = 0.0,
    cpus_per_actor: Annotated[float, typer.Option(help="CPUs for each.")] = 1.0,
    progress: Annotated[
        bool | None,
        typer.Option("--progress/--no-progress", help="Else on a terminal only.", show_default=False),
    ] = None,
) -> None:
    """Measure retrieval before and after reranking, and print one table.

    Stop it at any time: the same command goes on where it was. The exit status is 1 if a query could not
    be scored; the table marks where.
    """
    with errors_in_one_line(context):
        try:
            from nvrerank.evaluation import evaluate as run

            report = run(
                data,
                retrievers=retriever,
                scorers=scorer,
                fuse=cast("list[FusionName]", fuse),  # checked there
                top_k=top_k,
                metrics=metrics,
                out=out,
                split=split,
                query_languages=_listed(query_languages),
                passage_languages=_listed(passage_languages),
                limit_queries=limit_queries,
                ignore_identical_ids=not keep_identical_ids,
                strict=strict,
                seed=seed,
                resamples=resamples,
                device=device,
                max_length=max_length,
                instruction=instruction,
                engine=engine,
                actors=actors,
                gpus_per_actor=gpus_per_actor,
                cpus_per_actor=cpus_per_actor,
                progress=sys.stderr.isatty() if progress is None else progress,
            )
        except KeyboardInterrupt as error:
            say(f"stopped; what was scored is in {out}, the same command goes on from there")
            raise typer.Exit(130) from error
        except OSError as error:
            what = f"{error.filename or out}: {error.strerror or error}"
            say(f"{what}; what was scored is kept, the same command goes on once this is mended")
            raise typer.Exit(1) from error
    print_out(_formatted(report, style))
    for remark in report.remarks if style == "json" else ():  # a table has them below it
        say(remark)
    for failure in report.failures:
        where = failure.task if failure.query is None else f"{failure.task}, query {failure.query}"
        say(f"not scored: {where}: {failure.error}")
    if report.failures:
        raise typer.Exit(1)


def _listed(languages: str | None) -> list[str] | None:
    return None if languages is None else [one.strip() for one in languages.split(",")]


def _formatted(report: Report, style: Format) -> str:
    if style == "json":
        return report.to_json()
    return report.to_markdown() if style == "markdown" else report.to_text()
