"""What a hosted call's span and log tell of its tries."""

from __future__ import annotations

import asyncio
import logging

import pytest
from fake_nim.steps import answer, rank
from support.spans import recording

from nvrerank import RequestRejectedError, arerank, rerank

PASSAGES = ["one", "two", "three", "four", "five"]


@pytest.fixture
def spans(monkeypatch):
    return recording(monkeypatch)[1].get_finished_spans


@pytest.fixture(params=["sync", "async"])
def ask(request):
    if request.param == "sync":
        return rerank
    return lambda *given, **options: asyncio.run(arerank(*given, **options))


def test_tries_of_all_batches_are_counted_whatever_thread_or_task_made_them(spans, ask, nim, hosted):
    server = nim(answer(503, retry_after_ms="30"), rank(), rank(), rank())
    ask(hosted(server, max_batch_size=2), "q", PASSAGES)
    (span,) = spans()
    assert span.attributes["gen_ai.response.model"] == "fake/reranker"
    assert span.attributes["nvrerank.tries"] == 4
    assert span.attributes["nvrerank.wait"] == pytest.approx(0.03)


def test_tokens_are_told_where_the_server_tells_them(spans, ask, nim, hosted):
    body = {"rankings": [{"index": 0, "logit": 1.0}], "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    ask(hosted(nim(answer(200, body), answer(200, body)), max_batch_size=1), "q", PASSAGES[:2])
    assert spans()[0].attributes["gen_ai.usage.input_tokens"] == 14


def test_tries_are_told_also_of_a_call_that_failed(spans, ask, nim, hosted):
    with pytest.raises(RequestRejectedError):
        ask(hosted(nim(answer(503), answer(400))), "q", PASSAGES)
    (span,) = spans()
    assert (span.attributes["nvrerank.tries"], span.attributes["error.type"]) == (2, "RequestRejectedError")


def test_waiting_between_tries_is_logged_at_info(ask, nim, hosted, caplog):
    caplog.set_level(logging.INFO, "nvrerank")
    ask(hosted(nim(answer(503, retry_after_ms="30"), rank())), "q", PASSAGES)
    assert [record.getMessage() for record in caplog.records if record.name == "nvrerank"] == [
        "waiting 0.03 s before try 2 of a request, after 503"
    ]
    caplog.clear()
    ask(hosted(nim(rank())), "q", PASSAGES)
    assert not [record for record in caplog.records if record.name == "nvrerank"]
