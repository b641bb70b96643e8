"""What the commands print, and how they fail: one line on stderr, and a status."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import NoReturn

import typer

from nvrerank.errors import NVRerankError


def print_out(text: str) -> None:
    """Prints a result to stdout; nothing where there is none."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a console may lack a sign
    if text:
        typer.echo(text)


def say(message: str) -> None:
    """Tells the person at the terminal something, on stderr."""
    typer.echo(f"nvrerank: {message}", err=True)


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Exit status 2 for a bad argument, 1 for what went wrong in reranking."""
    try:
        yield
    except NVRerankError as error:
        _fail(error, 1)
    except ValueError as error:
        _fail(error, 2)


def _fail(error: Exception, status: int) -> NoReturn:
    say(" ".join(str(error).split()))
    raise typer.Exit(status) from error
