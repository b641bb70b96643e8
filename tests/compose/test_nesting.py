"""Fallback(Cached(Limited(HostedScorer())), LocalScorer()): each adds its thing, on a real wire."""

from __future__ import annotations

import asyncio
import pickle

import pytest
from fake_nim import FakeNIM, truth
from fake_nim.steps import answer, rank
from support.simple_scorers import Length

from nvrerank import (
    Cached,
    Cascade,
    Fallback,
    FallbackWarning,
    HostedScorer,
    Limited,
    LocalScorer,
    Ranked,
    ScorerClosedError,
    Windowed,
    rerank,
)

QUERY = "how do I make a class iterable?"
PASSAGES = ["Bananas.", "A class is iterable when it defines __iter__.", "Iron rusts.", "naïve 東京 🙂"]
MODEL = "nvidia/llama-nemotron-rerank-1b-v2"


def nested(url, path=None):
    hosted = HostedScorer(MODEL, base_url=url, max_retries=0, timeout=10)
    limited = Limited(hosted, requests_per_minute=100, max_concurrency=2, max_wait=5)
    local = LocalScorer(device="cpu", dtype="float32")
    return Fallback(Cached(limited, path), local, failures=2, retry_after=3600)


def test_the_service_answers_then_the_cache_and_where_it_is_down_this_machine(ranked, tmp_path):
    with (
        FakeNIM([rank(), answer(503), answer(503)]) as nim,
        nested(nim.url, tmp_path / "scores.db") as scorer,
    ):
        first = ranked(scorer, QUERY, PASSAGES)
        assert [one.score for one in first] == sorted((truth(QUERY, one) for one in PASSAGES), reverse=True)
        assert ranked(scorer, QUERY, PASSAGES[::-1]).answered_by == MODEL
        assert len(nim.seen) == 1, "the cache knew them all"
        with pytest.warns(FallbackWarning, match="nvrerank-bundled answers after") as told:
            others = [ranked(scorer, QUERY, [*PASSAGES, f"new {number}"]) for number in range(4)]
        assert len(told) == 1
        assert {one.answered_by for one in others} == {"nvrerank-bundled"}
        assert len(nim.seen) == 3, "after two failures it was left alone"
        expected = LocalScorer(device="cpu", dtype="float32").score(QUERY, PASSAGES)
        kept = {one.index: one.score for one in others[0]}
        assert [kept[index] for index in range(4)] == pytest.approx(expected, abs=1e-5)
        assert scorer.answers == {MODEL: 2, "nvrerank-bundled": 4}


def test_the_next_process_finds_the_scores_although_the_service_is_down(tmp_path):
    with FakeNIM([rank()]) as nim:
        with nested(nim.url, tmp_path / "scores.db") as scorer:
            first = rerank(scorer, QUERY, PASSAGES)
        url = nim.url
    with nested(url, tmp_path / "scores.db") as scorer:
        assert rerank(scorer, QUERY, PASSAGES) == first


def test_closing_the_outermost_closes_all_within():
    async def asynchronously(scorer):
        async with scorer:
            pass

    with FakeNIM() as nim:
        for close in (lambda scorer: scorer.close(), lambda scorer: asyncio.run(asynchronously(scorer))):
            scorer = nested(nim.url)
            close(scorer)
            with pytest.raises(ScorerClosedError):
                rerank(scorer, QUERY, PASSAGES)


def test_a_pickle_of_all_of_them_answers_alike(tmp_path):
    with FakeNIM([rank(), rank()]) as nim, nested(nim.url, tmp_path / "scores.db") as scorer:
        with pickle.loads(pickle.dumps(scorer)) as twin:
            assert rerank(twin, QUERY, PASSAGES) == rerank(scorer, QUERY, PASSAGES)
        assert len(nim.seen) == 1


def test_what_each_record_says_comes_through_all_of_them(ranked):
    long = "the sea is wide. " * 60 + "A class is iterable when it defines __iter__."
    local = LocalScorer(device="cpu", dtype="float32", max_length=64)
    windows = Cached(Limited(Windowed(local), max_concurrency=1))
    cascade = Cascade(Length("cheap"), Fallback(windows, Length("never")), keep=1)
    [alone] = ranked(Windowed(local), QUERY, [long])
    for _ in range(2):
        best, cut = ranked(cascade, QUERY, ["Bananas.", long])
        assert best == Ranked(1, alone.score, alone.truncated, alone.window, source=local.name)
        assert (cut.index, cut.source, cut.cut) == (0, "cheap", True)
    assert alone.window is not None
