"""What Prometheus is told. No label comes from a caller: routes, states and reasons are ours."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
)
from prometheus_client.exposition import generate_latest

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
_TOKENS = tuple(2**power for power in range(6, 19, 2))


class Metrics:
    """One app's figures, in a registry of its own.

    Attributes:
        content_type: Of what `text` returns.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = self._counter("requests", "Requests answered.", "route", "status")
        self._refusals = self._counter("refusals", "Requests that were not scored, by reason.", "reason")
        self._abandoned = self._counter("abandoned_requests", "Dropped from the queue: the caller had left.")
        self._passages = self._counter("passages", "Passages scored.")
        self._request_seconds = self._histogram("request_seconds", "From headers to answer.", _SECONDS)
        self._queue_seconds = self._histogram("queue_seconds", "A request's time in the queue.", _SECONDS)
        self._model_seconds = self._histogram("model_seconds", "A call of the model.", _SECONDS)
        self._batch_tokens = self._histogram("batch_tokens", "Tokens of a call, estimated.", _TOKENS)
        self._batch_requests = self._histogram(
            "batch_requests", "Requests of a call.", (1, 2, 4, 8, 16, 32, 64)
        )

    def watch_queue(self, requests: Callable[[], float], passages: Callable[[], float]) -> None:
        """Shows what waits, as these say when they are asked."""
        for name, words, value in (("requests", "Requests", requests), ("passages", "Passages", passages)):
            gauge = Gauge(f"nvrerank_queue_{name}", f"{words} that wait.", registry=self._registry)
            gauge.set_function(value)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """A request ended."""
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.observe(seconds)

    def refused(self, reason: str) -> None:
        """A request was not scored; `reason` is one of ours."""
        self._refusals.labels(reason).inc()

    def waited(self, seconds: float) -> None:
        """A request's time in the queue is over."""
        self._queue_seconds.observe(seconds)

    def computed(self, calls: int, passages: int, tokens: int, seconds: float) -> None:
        """The model was run for some requests."""
        self._passages.inc(passages)
        self._batch_requests.observe(calls)
        self._batch_tokens.observe(tokens)
        self._model_seconds.observe(seconds)

    def left(self, passages: int) -> None:  # noqa: ARG002  # requests are counted
        """A caller went away while its request was waiting."""
        self._abandoned.inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"nvrerank_{name}", words, labels, registry=self._registry)

    def _histogram(self, name: str, words: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"nvrerank_{name}", words, buckets=buckets, registry=self._registry)
