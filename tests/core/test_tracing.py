"""A span a call: what it tells, what it keeps to itself, and that nothing happens where nobody listens."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode
from support.spans import recording

from nvrerank import PassthroughWarning, Scorer, ServiceUnavailableError, arerank, rerank
from nvrerank.tracing import CAPTURE, current

QUERY = "a secret question"
PASSAGES = ["a secret passage", "", "another secret"]


class ByLength(Scorer):
    name = "by-length-1b"

    def _score(self, query, passages):
        if call := current.get():
            call.count("nvrerank.tries", 2)
            call.count("nvrerank.cache.hits", len(passages))
        return [float(len(passage)) for passage in passages]


class Down(Scorer):
    def _score(self, query, passages):
        raise ServiceUnavailableError("down for a while")


class Quoting(Scorer):
    def _score(self, query, passages):
        raise RuntimeError(f"can't read {passages}")


@pytest.fixture
def spans(monkeypatch):
    """The spans that ended."""
    monkeypatch.delenv(CAPTURE, raising=False)
    return recording(monkeypatch)[1].get_finished_spans


@pytest.fixture(params=["sync", "async"])
def ask(request):
    """Runs `rerank`, then `arerank`."""
    if request.param == "sync":
        return rerank
    return lambda *given, **options: asyncio.run(arerank(*given, **options))


def told(span) -> str:
    """All that leaves the process."""
    return span.to_json()


def test_a_call_is_a_span_that_tells_what_was_asked_and_what_came(spans, ask):
    ask(ByLength(), QUERY, PASSAGES, top_n=2, fuse="rrf")
    (span,) = spans()
    assert span.name == "rerank by-length-1b"
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "rerank",
        "gen_ai.request.model": "by-length-1b",
        "gen_ai.response.model": "by-length-1b",
        "openinference.span.kind": "RERANKER",
        "reranker.model_name": "by-length-1b",
        "reranker.top_k": 2,
        "nvrerank.passages.count": 3,
        "nvrerank.top_n": 2,
        "nvrerank.score_mode": "logit",
        "nvrerank.on_error": "raise",
        "nvrerank.fuse": "rrf",
        "nvrerank.results.count": 2,
        "nvrerank.results.indices": (0, 2),
        "nvrerank.results.scores": (16.0, 14.0),
        "nvrerank.results.truncated": 0,
        "nvrerank.results.cut": 0,
        "nvrerank.tries": 2,
        "nvrerank.cache.hits": 2,
    }


@pytest.mark.parametrize("value", [None, "false", "NO_CONTENT", "EVENT_ONLY"])
def test_no_text_leaves_unless_it_is_asked_for(spans, ask, monkeypatch, value):
    if value is not None:
        monkeypatch.setenv(CAPTURE, value)
    ask(ByLength(), QUERY, PASSAGES)
    with pytest.warns(PassthroughWarning):
        ask(Quoting(), QUERY, PASSAGES, on_error="passthrough")
    with pytest.raises(Exception, match="secret"):
        ask(Quoting(), QUERY, PASSAGES)
    assert len(spans()) == 3
    assert not [span for span in spans() if "secret" in told(span)]


@pytest.mark.parametrize("value", ["true", "SPAN_ONLY", "span_and_event"])
def test_texts_leave_as_openinference_has_them_once_asked_for(spans, ask, monkeypatch, value):
    monkeypatch.setenv(CAPTURE, value)
    ask(ByLength(), QUERY, PASSAGES, retrieval_scores=[0.5, None, 0.75])
    found = spans()[0].attributes
    assert found["reranker.query"] == QUERY
    documents = {
        name.removeprefix("reranker."): value for name, value in found.items() if ".document." in name
    }
    assert documents == {
        "input_documents.0.document.id": "0",
        "input_documents.0.document.content": PASSAGES[0],
        "input_documents.0.document.score": 0.5,
        "input_documents.1.document.id": "1",
        "input_documents.1.document.content": "",
        "input_documents.2.document.id": "2",
        "input_documents.2.document.content": PASSAGES[2],
        "input_documents.2.document.score": 0.75,
        "output_documents.0.document.id": "0",
        "output_documents.0.document.content": PASSAGES[0],
        "output_documents.0.document.score": 16.0,
        "output_documents.1.document.id": "2",
        "output_documents.1.document.content": PASSAGES[2],
        "output_documents.1.document.score": 14.0,
        "output_documents.2.document.id": "1",
        "output_documents.2.document.content": "",
    }


def test_many_texts_do_not_push_out_what_the_span_is(spans, monkeypatch):
    monkeypatch.setenv(CAPTURE, "true")
    rerank(ByLength(), QUERY, [f"passage {number}" for number in range(200)])
    found = spans()[0]
    assert found.dropped_attributes > 0
    assert found.attributes.keys() >= {"openinference.span.kind", "nvrerank.tries", "nvrerank.results.count"}


def test_an_error_ends_the_span_with_its_type_and_our_own_words(spans, ask):
    with pytest.raises(ServiceUnavailableError):
        ask(Down(), QUERY, PASSAGES)
    (span,) = spans()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.status.description, span.events) == ("down for a while", ())
    assert span.attributes["error.type"] == "ServiceUnavailableError"


def test_a_passthrough_tells_what_went_wrong_and_is_no_error(spans, ask):
    with pytest.warns(PassthroughWarning):
        ask(Down(), QUERY, PASSAGES, on_error="passthrough")
    (span,) = spans()
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["nvrerank.passthrough"] is True
    assert span.attributes["error.type"] == "ServiceUnavailableError"
    assert "gen_ai.response.model" not in span.attributes


def test_a_cancelled_call_ends_its_span(spans):
    class Slow(Scorer):
        async def _ascore(self, query, passages):
            await asyncio.sleep(60)

    async def cancelled():
        await asyncio.wait_for(arerank(Slow(), QUERY, PASSAGES), 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())
    assert spans()[0].attributes["error.type"] == "CancelledError"


def test_a_span_stands_under_the_caller_s_and_over_the_scorer_s_own(spans, ask):
    threads = []

    class Tracing(Scorer):
        def _score(self, query, passages):
            threads.append(threading.current_thread())
            with trace.get_tracer("of its own").start_as_current_span("inner"):
                return [0.0] * len(passages)

    with trace.get_tracer("of the caller").start_as_current_span("outer"):
        ask(Tracing(), QUERY, PASSAGES)
    inner, ours, outer = spans()
    assert (threads[0] is threading.main_thread()) == (ask is rerank)
    assert inner.parent.span_id == ours.context.span_id
    assert ours.parent.span_id == outer.context.span_id


def test_calls_at_once_count_for_themselves(spans):
    async def both():
        await asyncio.gather(*(arerank(ByLength(), QUERY, ["x"] * number) for number in (1, 2)))

    asyncio.run(both())
    assert [span.attributes["nvrerank.tries"] for span in spans()] == [2, 2]
    assert current.get() is None  # outside a call nobody is told


def test_a_span_that_is_not_sampled_is_told_nothing(monkeypatch):
    _, exporter = recording(monkeypatch, sampler=ALWAYS_OFF)
    seen = []

    class Watching(ByLength):
        def _score(self, query, passages):
            seen.append(trace.get_current_span().get_span_context().trace_flags.sampled)
            return super()._score(query, passages)

    assert [one.index for one in rerank(Watching(), QUERY, PASSAGES)] == [0, 2, 1]
    assert (seen, exporter.get_finished_spans()) == ([False], ())


def test_a_call_that_asks_no_scorer_has_no_span(spans, ask):
    ask(ByLength(), QUERY, [" "])
    ask(ByLength(), QUERY, PASSAGES, top_n=0)
    assert spans() == ()


def test_a_program_without_opentelemetry_never_loads_it():
    program = (
        "import sys, nvrerank\n"
        "class One(nvrerank.Scorer):\n"
        "    def _score(self, query, passages): return [1.0]\n"
        "assert len(nvrerank.rerank(One(), 'q', ['a'])) == 1\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
