"""The command `nvrerank`; a module for each subcommand."""

from __future__ import annotations

import typer

from .eval import evaluate
from .models import models
from .rank import rank
from .scorer_options import MakeScorer, ScorerOptions
from .serve import serve

__all__ = ["MakeScorer", "ScorerOptions", "app"]

app = typer.Typer(
    help="Rerank text by its relevance to a question.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # they would print the values of variables
)
app.command()(rank)
app.command("eval")(evaluate)
app.command()(serve)
app.command()(models)
