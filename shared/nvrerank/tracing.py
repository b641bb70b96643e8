"""A span of OpenTelemetry for each call of `rerank` and `arerank` that asks a scorer.

Through opentelemetry-api alone, and only once the program itself has set it up. Names are those of the GenAI
conventions where there are such; they have none for reranking yet (semantic-conventions-genai, issue 253), so
what is ours is called `nvrerank.*`. `openinference.span.kind` and `reranker.*` are OpenInference's.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from .errors import NVRerankError, ScoringError
from .fusion import Fusion
from .results import Ranking
from .scorer import Scorer

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The environment variable by which the GenAI conventions let texts into spans."""

_CAPTURED = frozenset({"true", "1", "span_only", "span_and_event"})


class CallSpan:
    """What is told of one call.

    Args:
        span: One that is recorded.
        attributes: Those that the span began with.
    """

    def __init__(self, span: Span, attributes: Mapping[str, Any]) -> None:
        self._span = span
        self._attributes = attributes
        self._lock = threading.Lock()
        self._counts: dict[str, float] = {}

    def told(self, ranking: Ranking, error: NVRerankError | None = None) -> Ranking:
        """Tells what came of the call.

        Args:
            ranking: What is returned.
            error: In spite of which it is, without scores.

        Returns:
            The ranking.
        """
        if _captures():
            self._span.set_attributes(_texts(ranking))
        self._span.set_attributes(_outcome(ranking))
        if ranking.answered_by is not None:
            self._span.set_attribute("gen_ai.response.model", ranking.answered_by)
        if error is not None:
            self._span.set_attributes({"nvrerank.passthrough": True, "error.type": type(error).__name__})
        return ranking

    def count(self, name: str, number: float = 1) -> None:
        """Adds to a sum, such as "nvrerank.tries"; from any thread."""
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + number

    def failed(self, error: BaseException) -> None:
        """Tells what was raised; a scorer's own words may quote a passage, and stay out."""
        from opentelemetry.trace import StatusCode

        ours = isinstance(error, NVRerankError) and not isinstance(error, ScoringError)
        self._span.set_attribute("error.type", type(error).__name__)
        self._span.set_status(StatusCode.ERROR, str(error) if ours else None)

    def close(self) -> None:
        """Tells the sums, and once more what it began with: a span that is too full drops its oldest."""
        self._span.set_attributes({**self._attributes, **self._counts})


current: ContextVar[CallSpan | None] = ContextVar("nvrerank_call_span", default=None)
"""That of the call which this thread or task works for; None: nobody is told what it needs."""

_OFF = nullcontext(None)


def call_span(scorer: Scorer, options: Any, passages: int) -> AbstractContextManager[CallSpan | None]:
    """The span that a call runs in; None where nobody is told: until the program has set OpenTelemetry up.

    Args:
        scorer: Whom the call asks.
        options: How the logits become an order: a `RankOptions`.
        passages: How many there are.
    """
    if "opentelemetry.trace" not in sys.modules:
        return _OFF
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):  # it stands for one that nobody has set
        return _OFF
    return _recorded(provider.get_tracer("nvrerank"), scorer, options, passages)


@contextmanager
def _recorded(tracer: Tracer, scorer: Scorer, options: Any, passages: int) -> Iterator[CallSpan | None]:
    attributes = _asked(scorer, options, passages)
    with tracer.start_as_current_span(
        f"rerank {scorer.name}",
        attributes=attributes,
        record_exception=False,  # its message and traceback may quote a text
        set_status_on_exception=False,
    ) as span:
        if not span.is_recording():
            yield None
            return
        call = CallSpan(span, attributes)
        token = current.set(call)
        try:
            yield call
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            current.reset(token)
            call.close()


def _captures() -> bool:
    """Whether texts may leave the process."""
    return os.environ.get(CAPTURE, "").strip().lower() in _CAPTURED


def _asked(scorer: Scorer, options: Any, passages: int) -> dict[str, Any]:
    """What is known when the span begins, so that a sampler may decide by it."""
    model, instruction = scorer.name, scorer.instruction
    digest = instruction and hashlib.sha256(instruction.encode()).hexdigest()[:16]
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    if isinstance(values["fuse"], Fusion):
        values["fuse"] = values["fuse"].method
    attributes = {
        "gen_ai.operation.name": "rerank",
        "gen_ai.request.model": model,
        "openinference.span.kind": "RERANKER",
        "reranker.model_name": model,
        "reranker.top_k": values["top_n"],
        "nvrerank.passages.count": passages,
        "nvrerank.instruction.digest": digest,
        "nvrerank.instruction": instruction if _captures() else None,
        **{f"nvrerank.{name}": value for name, value in values.items()},
    }
    return {name: value for name, value in attributes.items() if value is not None}


def _outcome(ranking: Ranking) -> dict[str, Any]:
    """The order, without a text; blank passages, which come last, have no score."""
    return {
        "nvrerank.results.count": len(ranking),
        "nvrerank.results.indices": [one.index for one in ranking],
        "nvrerank.results.scores": [one.score for one in ranking if one.score is not None],
        "nvrerank.results.truncated": ranking.truncated,
        "nvrerank.results.cut": sum(one.cut for one in ranking),
    }


def _texts(ranking: Ranking) -> dict[str, Any]:
    """Query and passages, before and after, as OpenInference has them."""
    before = ranking.retrieval_scores or [None] * len(ranking.passages)
    lists = {"input": list(enumerate(before)), "output": [(one.index, one.score) for one in ranking]}
    told: dict[str, Any] = {"reranker.query": ranking.query}
    for kind, documents in lists.items():
        for place, (index, score) in enumerate(documents):
            document = f"reranker.{kind}_documents.{place}.document"
            told |= {f"{document}.id": str(index), f"{document}.content": ranking.passages[index]}
            if score is not None:
                told[f"{document}.score"] = score
    return told
