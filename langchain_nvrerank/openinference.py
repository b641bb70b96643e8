"""Where OpenInference traces LangChain, our spans stand under those of its runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def under_run(run: Any, attributes: Mapping[str, Any]) -> Iterator[None]:
    """Within it a run's span, which OpenInference never makes the current one, is that.

    Args:
        run: The run, as a callback manager has it.
        attributes: What its span is told.
    """
    for handler in run.handlers:
        if type(handler).__module__.partition(".")[0] == "openinference":
            span = handler.get_span(run.run_id)
            break
    else:
        span = None
    if span is None:
        yield
        return
    from opentelemetry.trace import use_span

    span.set_attributes(attributes)
    with use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
        yield
