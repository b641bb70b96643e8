"""What the commands print, and how they fail: one line on stderr, and a status for scripts."""

from __future__ import annotations

import errno
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from io import TextIOWrapper
from typing import Any, NoReturn

import typer

from nvrerank.errors import (
    AuthenticationError,
    InvalidArgumentError,
    MissingExtraError,
    MissingKeyError,
    ModelLoadError,
    NVRerankError,
    RequestRejectedError,
    ServiceUnavailableError,
)

FAILED, WRONG_CALL, NOT_SET_UP, TRY_LATER, INTERRUPTED = 1, 2, 3, 4, 130
STATUSES = (
    "Exit status: 0 done, 1 failed, 2 wrong call, 3 a key, an extra or a model is missing, 4 the service is "
    "down: try later, 130 interrupted."
)
_STATUS_OF: tuple[tuple[type[Exception], int], ...] = (  # the first that fits
    (MissingKeyError, NOT_SET_UP),
    (MissingExtraError, NOT_SET_UP),
    (ModelLoadError, NOT_SET_UP),
    (AuthenticationError, NOT_SET_UP),
    (ServiceUnavailableError, TRY_LATER),
    (RequestRejectedError, WRONG_CALL),
    (InvalidArgumentError, WRONG_CALL),
    (ValueError, WRONG_CALL),
)
_options: ContextVar[Mapping[str, str]] = ContextVar("options", default={})  # noqa: B039 # never changed


def print_out(text: str) -> None:
    """Prints a result to stdout; nothing where there is none."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a console may lack a sign
    if text:
        typer.echo(text)


def say(message: str) -> None:
    """Tells the person at the terminal something, on one line of stderr, in terms of the command line."""
    typer.echo(f"nvrerank: {in_options(message, _options.get())}", err=True)


def in_options(message: str, options: Mapping[str, str]) -> str:
    """A message of the library with a command's options in place of Python's arguments.

    Args:
        message: Such as "top_n must be 0 or more" or "use fuse='rrf'".
        options: The option of each argument, such as {"top_n": "--top-n"}.
    """
    for name, option in options.items():
        message = re.sub(rf"(?<![\w-]){name}=(?:'([^']*)')?", rf"{option} \1", message)
        alone = rf"(?<![\w-]){name}\b" if "_" in name else rf"^{name}(?= must | is )"  # others are words, too
        message = re.sub(alone, option, message)
    return " ".join(message.split())


@contextmanager
def errors_in_one_line(context: typer.Context | None = None) -> Iterator[None]:
    """An error is one line and a status (see `STATUSES`); a warning is said.

    Args:
        context: The command's, whose options are named in place of the library's arguments.
    """
    params: list[Any] = [] if context is None else context.command.params
    known = {one.name: max(one.opts, key=len) for one in params if one.opts[0].startswith("-")}
    known |= {"api_key": "--api-key-env"} if "api_key_env" in known else {}  # no key on a command line
    token = _options.set(known)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: say(str(message))
            yield
    except OSError as error:
        if error.errno == errno.EPIPE:  # whoever reads has read enough
            raise
        _fail(error, _status_of(error))
    except (NVRerankError, ValueError) as error:
        _fail(error, _status_of(error))
    except KeyboardInterrupt as error:
        raise typer.Exit(INTERRUPTED) from error
    finally:
        _options.reset(token)


def _status_of(error: Exception) -> int:
    return next((status for kind, status in _STATUS_OF if isinstance(error, kind)), FAILED)


def _fail(error: Exception, status: int) -> NoReturn:
    say(str(error))
    raise typer.Exit(status) from error
