"""A scorer of one's own: whichever hook it writes, whichever method it overrides, `rerank` asks that one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from nvrerank import (
    BadResponseError,
    RequestRejectedError,
    Scored,
    Scorer,
    ScoringError,
    Windowed,
    arerank,
    rerank,
)

PASSAGES = ["a", "ccc", "bb"]


def lengths(passages: Sequence[str]) -> list[float]:
    return [float(len(passage)) for passage in passages]


class ByHook(Scorer):
    def _score(self, query, passages):
        return lengths(passages)


class ByAsyncHook(Scorer):
    async def _ascore(self, query, passages):
        await asyncio.sleep(0)
        return lengths(passages)


class ByBothHooks(ByHook):
    async def _ascore(self, query, passages):
        return lengths(passages)


class ByMethod(Scorer):
    def score(self, query, passages):
        return lengths(passages)


class ByAsyncMethod(Scorer):
    async def ascore(self, query, passages):
        return lengths(passages)


class ByDetails(Scorer):
    def score_detailed(self, query, passages):
        return list(map(Scored, lengths(passages)))


class ByRecords(Scorer):
    def _score(self, query, passages):
        return [Scored(np.float32(length)) for length in lengths(passages)]


class ByArray(Scorer):
    def _score(self, query, passages):
        return np.array(lengths(passages), dtype=np.float16)


WAYS = [ByHook, ByAsyncHook, ByBothHooks, ByMethod, ByAsyncMethod, ByDetails, ByRecords, ByArray]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: Windowed(one, size=100)])
def test_every_method_answers_whichever_is_written(way, wrap):
    scorer = wrap(way())
    detailed = [Scored(1.0), Scored(3.0), Scored(2.0)]
    assert scorer.score("q", PASSAGES) == [1.0, 3.0, 2.0]
    assert asyncio.run(scorer.ascore("q", PASSAGES)) == [1.0, 3.0, 2.0]
    assert scorer.score_detailed("q", PASSAGES) == detailed
    assert asyncio.run(scorer.ascore_detailed("q", PASSAGES)) == detailed
    assert scorer.score_many([("q", PASSAGES), ("r", []), ("s", ["x"])]) == [[1.0, 3.0, 2.0], [], [1.0]]
    assert [one.index for one in rerank(scorer, "q", PASSAGES)] == [1, 2, 0]
    assert [one.index for one in asyncio.run(arerank(scorer, "q", PASSAGES))] == [1, 2, 0]
    assert all(type(one.score) is float for one in rerank(scorer, "q", PASSAGES))


async def test_a_scorer_that_only_waits_answers_within_a_running_loop():
    assert ByAsyncHook().score("q", PASSAGES) == [1.0, 3.0, 2.0]


@pytest.mark.parametrize("base", WAYS)
def test_what_the_most_derived_class_writes_is_what_rerank_calls(base):
    class Negative(base):
        def score(self, query, passages):
            return [-one for one in super().score(query, passages)]

    class Told(base):
        def score_detailed(self, query, passages):
            return [Scored(-one.logit, truncated=True) for one in super().score_detailed(query, passages)]

    class AwaitsToo(base):
        async def ascore(self, query, passages):
            return [-one for one in await super().ascore(query, passages)]

    for scorer in (Negative(), Told(), Windowed(Negative(), size=9)):
        assert [one.index for one in rerank(scorer, "q", PASSAGES)] == [0, 2, 1]
    assert rerank(Told(), "q", PASSAGES).truncated == 3
    assert [one.index for one in asyncio.run(arerank(AwaitsToo(), "q", PASSAGES))] == [0, 2, 1]


def test_one_that_writes_nothing_can_not_be_made():
    class Nothing(Scorer):
        pass

    for kind in (Nothing, Scorer):
        with pytest.raises(TypeError, match=f"{kind.__name__} can't score: write _score"):
            kind()


@pytest.mark.parametrize("way", [ByHook, ByAsyncHook, ByBothHooks, ByRecords])
def test_a_hook_gets_clean_texts_and_never_none(way):
    class Asked(way):
        def _score(self, query, passages):
            asked.append((query, passages))
            return lengths(passages)

    asked = []
    Asked().score("lone \ud800", ["a \ud83d\ude00"])
    rerank(Asked(), "lone \ud800", ["a \ud83d\ude00", " "])
    assert asked[0] == asked[1] == ("lone \ufffd", ["a 😀"])
    assert Asked().score("q", []) == []
    assert Asked().score_many([("q", []), ("q", [])]) == [[], []]
    assert len(asked) == 2


@pytest.mark.parametrize(
    "answer", [[], [1.0], [1.0, float("nan")], [1.0, "2"], [1.0, None], [1.0, Scored(float("inf"))]]
)
def test_what_a_hook_returns_is_checked_whoever_asks(answer):
    class Odd(Scorer):
        def _score(self, query, passages):
            return answer

        async def _ascore(self, query, passages):
            return answer

    calls = [
        lambda: Odd().score("q", ["a", "b"]),
        lambda: asyncio.run(Odd().ascore("q", ["a", "b"])),
        lambda: Odd().score_many([("q", ["a", "b"])]),
        lambda: rerank(Odd(), "q", ["a", "b"]),
    ]
    for call in calls:
        with pytest.raises(BadResponseError, match="Odd returned"):
            call()


def test_what_a_hook_raises_is_an_error_of_ours_whoever_asks():
    class Breaks(Scorer):
        def _score(self, query, passages):
            raise OSError("disk full")

    calls = [
        lambda: Breaks().score("q", ["a"]),
        lambda: asyncio.run(Breaks().ascore("q", ["a"])),
        lambda: Breaks().score_many([("q", ["a"])]),
        lambda: rerank(Breaks(), "q", ["a"]),
    ]
    for call in calls:
        with pytest.raises(ScoringError, match="Breaks failed while scoring: OSError: disk full") as caught:
            call()
        assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: Windowed(one, size=100)])
def test_an_error_that_no_future_can_carry_does_not_hang(wrap):
    class Ends(Scorer):
        def _score(self, query, passages):
            return next(iter(()))

        def token_counter(self, query):
            return next(iter(()))

    with pytest.raises(ScoringError, match="StopIteration"):
        asyncio.run(asyncio.wait_for(wrap(Ends()).ascore("q", ["a"]), 20))


def test_a_hook_for_many_queries_is_asked_once_and_checked():
    class Many(ByHook):
        def _score_many(self, calls):
            asked.append(calls)
            return answers

    asked, answers = [], [[1.0], [], [Scored(2.0)]]
    assert Many().score_many([("q", ["a"]), ("r", []), ("s", iter(["b"]))]) == [[1.0], [], [2.0]]
    assert asked == [[("q", ["a"]), ("r", []), ("s", ["b"])]]
    for answers in ([[1.0]], [[1.0], [], [float("nan")]], [[1.0], [2.0], [3.0]]):  # noqa: B007
        with pytest.raises(BadResponseError, match="Many"):
            Many().score_many([("q", ["a"]), ("r", []), ("s", ["b"])])


def test_an_error_in_one_of_many_queries_says_which():
    class Refuses(ByHook):
        def _score(self, query, passages):
            if query == "bad":
                raise RequestRejectedError("too long", index=1)
            return lengths(passages)

    with pytest.raises(RequestRejectedError, match=r"passages\[1\]: too long") as caught:
        Refuses().score_many([("q", ["a"]), ("bad", ["a", "b"])])
    assert caught.value.__notes__ == ["this is about job 1 of 2"]
    with pytest.raises(ValueError, match="query is blank") as refused:
        Refuses().score_many([(" ", ["a"]), ("q", ["a", "b"])])
    assert refused.value.__notes__ == ["this is about job 0 of 2"]


def test_an_override_for_many_queries_is_what_every_caller_asks_and_is_checked():
    class Many(ByHook):
        def score_many(self, jobs):
            asked.append(list(jobs))
            return answers or super().score_many(jobs)

    asked, answers = [], []
    jobs = [("q", ["a", "ccc"]), ("r", ["bb"])]
    for scorer in (Many(), Windowed(Many(), size=9)):
        assert scorer.score_many(jobs) == [[1.0, 3.0], [2.0]]
    assert asked == [jobs, jobs]
    answers = [[1.0, 3.0], [float("nan")]]
    with pytest.raises(BadResponseError, match="Many returned nan"):
        Windowed(Many(), size=9).score_many(jobs)


def test_windows_of_many_queries_tell_what_each_score_comes_from():
    class Cuts(Scorer):
        def _score(self, query, passages):
            return [Scored(1.0, truncated=True) for _ in passages]

    [[one], [other]] = Windowed(Cuts(), size=2).score_many_clean([("q", ["a " * 40]), ("r", ["b"])])
    assert (one.truncated, one.window is None) == (True, False)
    assert (other.truncated, other.window) == (True, None)


def test_a_scorer_that_says_nothing_else_is_closed_without_effect_and_known_by_nothing():
    class Plain(Scorer):
        def _score(self, query, passages):
            return [0.0 for _ in passages]

    async def asynchronously():
        async with Plain() as scorer:
            return await scorer.ascore("q", ["a"])

    with Plain() as scorer:
        assert scorer.score("q", ["a"]) == asyncio.run(asynchronously()) == [0.0]
    assert (scorer.identity, scorer.listwise) == (None, False)


def test_closing_from_a_coroutine_closes_what_only_knows_the_other_way():
    class Holds(Scorer):
        closed = False

        def _score(self, query, passages):
            return [0.0 for _ in passages]

        def close(self):
            self.closed = True

    async def asynchronously(scorer):
        async with scorer:
            pass

    scorer = Holds()
    asyncio.run(asynchronously(scorer))
    assert scorer.closed
