"""`nvrerank bulk`: scores files of pairs, on this machine or on Ray."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from nvrerank.errors import ScoringError, ServiceUnavailableError

from .output import errors_in_one_line, print_out, say
from .scorer_options import SCORER_HELP


def bulk(
    context: typer.Context,
    rows: Annotated[
        Path,
        typer.Argument(
            help="Parquet, Arrow or JSON lines, a folder of such files, or with --run one in BEIR's layout.",
            metavar="IN",
        ),
    ],
    output: Annotated[
        Path, typer.Argument(help="A folder, or a file that ends in .parquet or .jsonl.", metavar="OUT")
    ],
    *,
    scorer: Annotated[str, typer.Option(help=SCORER_HELP)] = "bundled",
    query_column: Annotated[str, typer.Option(help="Column of the queries.")] = "query",
    passage_column: Annotated[
        str, typer.Option(help="Column of the passages, or of lists of them.")
    ] = "passage",
    id_column: Annotated[str | None, typer.Option(help="Column by which rows are named in messages.")] = None,
    run: Annotated[Path | None, typer.Option(help="A TREC run file: the pairs of a BEIR folder.")] = None,
    prefix: Annotated[
        str, typer.Option(help="Stands before the names score, rank and error that are added.")
    ] = "",
    batch_size: Annotated[int, typer.Option(help="Pairs that are scored together.")] = 1024,
    shard_rows: Annotated[
        int | None, typer.Option(help="Rows that are kept together; else about 16,384 pairs.")
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="ray: Ray Data, on the cluster that RAY_ADDRESS names.")
    ] = "local",
    actors: Annotated[int, typer.Option(help="Copies of the scorer on Ray.")] = 1,
    gpus_per_actor: Annotated[float, typer.Option(help="GPUs for each.")] = 0.0,
    cpus_per_actor: Annotated[float, typer.Option(help="CPUs for each.")] = 1.0,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on from what is there.")] = True,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda, for a local model.")] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens of query and passage that a local model reads.")
    ] = None,
    instruction: Annotated[
        str | None, typer.Option(help="What the model is told of its task, if its prompt has a place for it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    progress: Annotated[
        bool | None,
        typer.Option("--progress/--no-progress", help="Else on a terminal only.", show_default=False),
    ] = None,
) -> None:
    """Score pairs of query and passage: files in, the same rows with their scores out.

    Stop it at any time: the same command goes on where it was. A row that can't be scored has a null score
    and the reason beside it.
    """
    with errors_in_one_line(context):
        from nvrerank.bulk import rerank_parquet

        try:
            report = rerank_parquet(
                rows,
                output,
                scorer=scorer,
                query_column=query_column,
                passage_column=passage_column,
                id_column=id_column,
                run=run,
                prefix=prefix,
                batch_size=batch_size,
                shard_rows=shard_rows,
                engine=engine,
                actors=actors,
                gpus_per_actor=gpus_per_actor,
                cpus_per_actor=cpus_per_actor,
                resume=resume,
                device=device,
                max_length=max_length,
                instruction=instruction,
                progress=sys.stderr.isatty() if progress is None else progress,
            )
        except KeyboardInterrupt as error:
            say(f"stopped; what is whole is kept, the same command goes on from there: {output}")
            raise typer.Exit(130) from error
        except (ScoringError, ServiceUnavailableError):
            say("what is whole is kept, the same command goes on from there once this is mended:")
            raise
        except OSError as error:
            what = f"{error.filename or output}: {error.strerror or error}"
            say(f"{what}; what is whole is kept, the same command goes on once this is mended")
            raise typer.Exit(1) from error
    print_out(report.to_json() if as_json else report.to_text())
    for one in report.failures:
        say(f"no score: row {one.row if one.id is None else one.id}: {one.error}")
