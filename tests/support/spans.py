"""An SDK of OpenTelemetry that keeps its spans in memory, in place of the one that a program sets up."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


def recording(monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[TracerProvider, InMemorySpanExporter]:
    """Sets one up until the test ends; options are the provider's."""
    provider, exporter = TracerProvider(shutdown_on_exit=False, **options), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return provider, exporter
