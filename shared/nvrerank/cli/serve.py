"""`nvrerank serve`: a reranking server for one machine."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from nvrerank.scorer_specs import scorer_of

from .output import errors_in_one_line
from .scorer_options import SCORER_HELP


def serve(
    context: typer.Context,
    *,
    scorer: Annotated[str, typer.Option(help=SCORER_HELP)] = "bundled",
    host: Annotated[
        str, typer.Option(help="Address to listen at; another needs --api-key or --no-auth.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen at; 0: any that is free.", min=0, max=65535)
    ] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="NVRERANK_API_KEY",
            show_envvar=True,
            help="What callers send as a bearer token; as an option others on this machine can see it.",
        ),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Let anybody call who can reach the address.")
    ] = False,
    model_name: Annotated[
        list[str], typer.Option(help="What requests may call the model; repeatable. Else the scorer's name.")
    ] = [],  # noqa: B006 # typer copies it
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda, for a local model.")] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens of query and passage that a local model reads.")
    ] = None,
    instruction: Annotated[
        str | None,
        typer.Option(help="What the model is told of its task where a request doesn't say."),
    ] = None,
    batch_tokens: Annotated[
        int, typer.Option(help="About how many tokens of different requests are scored at once.")
    ] = 8192,
    max_wait_ms: Annotated[float, typer.Option(help="How long an idle model waits for more requests.")] = 3.0,
    max_queued: Annotated[
        int, typer.Option(help="Passages that may wait; beyond, requests are refused with 503.")
    ] = 2048,
    max_queue_seconds: Annotated[
        float, typer.Option(help="Likewise with as many as the model did in that time of late.")
    ] = 20.0,
    threads: Annotated[
        int | None,
        typer.Option(help="Calls of the scorer at once; else 2 for one that packs, 16 for another server."),
    ] = None,
    cors_origin: Annotated[
        list[str],
        typer.Option(help="A web page that may call this server, such as https://example.org; repeatable."),
    ] = [],  # noqa: B006
    log_level: Annotated[
        str, typer.Option(help="debug, info, warning or error; info has a line for each request.")
    ] = "info",
) -> None:
    """Serve a scorer over HTTP: a NIM's routes, Cohere's, and those of Text Embeddings Inference.

    Open the address in a browser for a page to try it on. At SIGTERM or Ctrl-C what was taken is finished.
    """
    with errors_in_one_line(context):
        from nvrerank.server import ServerSettings
        from nvrerank.server import serve as run

        settings = ServerSettings(
            api_key=api_key,
            model_names=model_name,
            batch_tokens=batch_tokens,
            max_wait_ms=max_wait_ms,
            max_queued_passages=max_queued,
            max_queue_seconds=max_queue_seconds,
            threads=threads,
            cors_origins=cors_origin,
        )
        scoring = scorer_of(scorer, device=device, max_length=max_length, instruction=instruction)
        _log_to_stderr(log_level)
        run(scoring, host=host, port=port, no_auth=no_auth, settings=settings)


def _log_to_stderr(level: str) -> None:
    if level not in ("debug", "info", "warning", "error"):
        raise ValueError(f"--log-level is debug, info, warning or error, not {level!r}")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("nvrerank.server").setLevel(level.upper())
