"""What the commands print, and how they fail: one line on stderr, and a status."""

from __future__ import annotations

import errno
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import NoReturn

import typer

from nvrerank.errors import InvalidArgumentError, NVRerankError


def print_out(text: str) -> None:
    """Prints a result to stdout; nothing where there is none."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a console may lack a sign
    if text:
        typer.echo(text)


def say(message: str) -> None:
    """Tells the person at the terminal something, on one line of stderr."""
    typer.echo(f"nvrerank: {' '.join(message.split())}", err=True)


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Exit status 2 for a bad argument, 1 for what else went wrong, 130 for Ctrl-C; a warning is said."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say(str(message))
        try:
            yield
        except NVRerankError as error:
            _fail(error, 2 if isinstance(error, InvalidArgumentError) else 1)
        except ValueError as error:
            _fail(error, 2)
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever reads has read enough
                raise
            _fail(error, 1)
        except KeyboardInterrupt as error:
            raise typer.Exit(130) from error


def _fail(error: Exception, status: int) -> NoReturn:
    say(str(error))
    raise typer.Exit(status) from error
