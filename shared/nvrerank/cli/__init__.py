"""The command `nvrerank`; a module for each subcommand."""

from __future__ import annotations

from typing import Annotated

import typer

from nvrerank import __version__

from .bulk import bulk
from .eval import evaluate
from .mcp import mcp
from .models import models
from .output import STATUSES
from .rank import rank
from .scorer_options import MakeScorer, ScorerOptions
from .serve import serve

__all__ = ["MakeScorer", "ScorerOptions", "app"]

app = typer.Typer(
    help="Rerank text by its relevance to a question.",
    epilog=STATUSES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # they would print the values of variables
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 # typer's signature
    if asked:
        typer.echo(f"nvrerank {__version__}")
        raise typer.Exit


@app.callback()
def main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Rerank text by its relevance to a question."""


app.command()(rank)
app.command("eval")(evaluate)
app.command()(bulk)
app.command()(serve)
app.command()(mcp)
app.command()(models)
