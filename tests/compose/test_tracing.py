"""What the span of a composed scorer tells: who answered, and what the cache knew."""

from __future__ import annotations

import asyncio

import pytest
from support.spans import recording

from nvrerank import Cached, Cascade, Fallback, Scorer, ServiceUnavailableError, arerank, rerank


class Lengths(Scorer):
    name = "lengths"
    identity = {"version": 1}  # noqa: RUF012

    def _score(self, query, passages):
        return [float(len(passage)) for passage in passages]


class Down(Scorer):
    name = "down"

    def _score(self, query, passages):
        raise ServiceUnavailableError("for a while")


@pytest.fixture
def spans(monkeypatch):
    return recording(monkeypatch)[1].get_finished_spans


@pytest.fixture(params=["sync", "async"])
def ask(request):
    if request.param == "sync":
        return rerank
    return lambda *given, **options: asyncio.run(arerank(*given, **options))


def test_hits_and_misses_of_the_cache_are_told(spans, ask):
    scorer = Cached(Lengths())
    for passages in (["a", "bb"], ["bb", "ccc", "a"]):
        ask(scorer, "q", passages)
    told = [
        (one.attributes["nvrerank.cache.hits"], one.attributes["nvrerank.cache.misses"]) for one in spans()
    ]
    assert told == [(0, 2), (2, 1)]


def test_who_answered_is_told_beside_who_was_asked(spans, ask):
    with pytest.warns(UserWarning, match="lengths answers"):
        ask(Fallback(Down(), Lengths()), "q", ["a"])
    (span,) = spans()
    assert span.attributes["gen_ai.response.model"] == "lengths"
    assert span.attributes["gen_ai.request.model"] != "lengths"


def test_what_a_cascade_cut_is_told(spans, ask):
    ask(Cascade(Lengths(), Lengths(), keep=2), "q", ["a", "bb", "ccc"])
    assert spans()[0].attributes["nvrerank.results.cut"] == 1
