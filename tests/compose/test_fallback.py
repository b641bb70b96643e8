"""Fallback: one scorer answers a call wholly, and it is seen which."""

from __future__ import annotations

import asyncio
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.simple_scorers import Gated, Length, down

from nvrerank import (
    BadResponseError,
    Fallback,
    FallbackWarning,
    PassthroughWarning,
    RateLimitError,
    RequestRejectedError,
    Scorer,
    ServiceUnavailableError,
    UncalibratedWarning,
    rerank,
)
from nvrerank.compose.circuit import Circuit

PASSAGES = ["a", "ccc", "bb"]


@pytest.fixture
def first():
    return Length("first")


@pytest.fixture
def second():
    return Length("second", -1.0)


def test_the_first_scorer_answers_as_long_as_it_can(ranked, first, second):
    ranking = ranked(Fallback(first, second), "q", PASSAGES)
    assert [one.index for one in ranking] == [1, 2, 0]
    assert ranking.answered_by == "first"
    assert second.asked == []


def test_the_next_one_answers_where_it_fails_and_that_is_seen(ranked, first, second):
    fallback = Fallback(first, second)
    first.fails = RateLimitError("slow down")
    with pytest.warns(
        FallbackWarning, match=r"second answers after first failed \(RateLimitError: slow down\)"
    ):
        ranking = ranked(fallback, "q", PASSAGES)
    assert [one.score for one in ranking] == [-1, -2, -3]
    assert ranking.answered_by == "second"
    assert {one.source for one in ranking} == {"second"}
    assert fallback.answers == {"first": 0, "second": 1}


def test_it_warns_when_somebody_else_answers_and_not_at_each_call(ranked, first, second):
    fallback = Fallback(first, second, failures=100)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for fails in (None, down(), down(), down(), None, None):
            first.fails = fails
            ranked(fallback, "q", PASSAGES)
    assert [str(one.message).split(" after")[0] for one in told] == ["second answers", "first answers again"]
    assert {one.filename for one in told} == {__file__} or ranked is not rerank


def test_an_error_that_has_to_be_mended_is_raised(ranked, first, second):
    first.fails = RequestRejectedError("too long", index=1)
    with pytest.raises(RequestRejectedError, match=r"passages\[2\]"):
        ranked(Fallback(first, second), "q", ["", *PASSAGES])
    assert second.asked == []


def test_which_errors_count_can_be_said(first, second):
    first.fails = BadResponseError("nonsense")
    with pytest.raises(BadResponseError):
        Fallback(first, second, on=ServiceUnavailableError).score("q", PASSAGES)
    with pytest.warns(FallbackWarning):
        assert Fallback(first, second, on=[BadResponseError]).score("q", PASSAGES) == [-1, -3, -2]


def test_where_all_fail_the_last_error_notes_the_others(ranked, first, second):
    first.fails, second.fails = RateLimitError("slow down"), ServiceUnavailableError("out of memory")
    with pytest.raises(ServiceUnavailableError, match="out of memory") as caught:
        ranked(Fallback(first, second), "q", PASSAGES)
    assert caught.value.__notes__ == ["first failed, too: RateLimitError: slow down"]


def test_where_all_fail_the_retrieval_order_can_be_kept(ranked, first, second):
    first.fails = second.fails = down()
    with pytest.warns(PassthroughWarning):
        ranking = ranked(Fallback(first, second), "q", PASSAGES, on_error="passthrough")
    assert [one.index for one in ranking] == [0, 1, 2]
    assert ranking.answered_by is None


def test_the_sigmoid_goes_by_the_scale_of_the_one_that_answered(ranked, second):
    likely = Length("likely", 0.1, scale="probability")
    fallback = Fallback(likely, second)
    assert [one.score for one in ranked(fallback, "q", ["bb"], score_mode="sigmoid")] == [0.2]
    likely.fails = down()
    with pytest.warns(FallbackWarning):
        [one] = ranked(fallback, "q", ["bb"], score_mode="sigmoid")
    assert one.score == pytest.approx(0.119202922)  # 1 / (1 + e^2)


def test_two_calls_at_once_each_go_by_their_own_answers_scale():
    likely = Length("likely", 0.1, scale="probability")
    slow = Gated("slow")
    likely.fails = down()
    fallback = Fallback(likely, slow)
    with ThreadPoolExecutor(1) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        waiting = pool.submit(rerank, fallback, "q", ["bb"], score_mode="sigmoid")
        slow.begun.acquire(timeout=10)
        likely.fails = None
        assert rerank(fallback, "q", ["bb"], score_mode="sigmoid")[0].score == 0.2
        slow.gate.set()
        assert waiting.result()[0].score == pytest.approx(0.880797078)  # 1 / (1 + e^-2)


def test_only_an_answer_of_an_uncalibrated_scorer_warns_of_sigmoids(ranked, first, second):
    second.calibrated = False
    fallback = Fallback(first, second)
    ranked(fallback, "q", PASSAGES, score_mode="sigmoid")
    first.fails = down()
    with pytest.warns(UncalibratedWarning), pytest.warns(FallbackWarning):
        ranked(fallback, "q", PASSAGES, score_mode="sigmoid")


def test_each_scorer_has_its_own_threshold_in_place_of_reranks(ranked, first, second):
    fallback = Fallback(first, second, thresholds=(2, None))
    assert [one.index for one in ranked(fallback, "q", PASSAGES)] == [1, 2]
    assert [one.index for one in ranked(fallback, "q", PASSAGES, threshold=3)] == [1, 2]
    first.fails = down()
    with pytest.warns(FallbackWarning):
        assert [one.index for one in ranked(fallback, "q", PASSAGES)] == [0, 2, 1]
    assert [one.index for one in ranked(fallback, "q", PASSAGES, threshold=-2)] == [0, 2]


def test_all_queries_of_a_call_are_answered_by_the_same_scorer(first, second):
    class Stumbles(Length):
        def _score(self, query, passages):
            self.fails = down() if query == "second" else None
            return super()._score(query, passages)

    fallback = Fallback(Stumbles("stumbles"), second)
    with pytest.warns(FallbackWarning):
        assert fallback.score_many([("one", ["bb"]), ("second", ["a"]), ("third", [])]) == [[-2], [-1], []]
    assert fallback.answers == {"stumbles": 0, "second": 1}


def test_after_failures_in_a_row_it_is_left_alone_and_then_tried_again(ranked, first, second):
    first.fails = down()
    fallback = Fallback(first, second, failures=2, retry_after=3600)
    with pytest.warns(FallbackWarning):
        _ = [ranked(fallback, "q", PASSAGES) for _ in range(5)]
    assert len(first.asked) == 2
    patient = Fallback(first, second, failures=2, retry_after=0)
    with pytest.warns(FallbackWarning):
        _ = [ranked(patient, "q", PASSAGES) for _ in range(5)]
    assert len(first.asked) == 2 + 5


def test_one_call_tries_it_again_while_the_others_go_on():
    slow, second = Gated("slow"), Length("second")
    slow.fails = down()
    slow.gate.set()
    fallback = Fallback(slow, second, failures=1, retry_after=0)
    with pytest.warns(FallbackWarning):
        fallback.score("q", PASSAGES)
    slow.fails = None
    slow.gate.clear()
    slow.begun.acquire()
    with ThreadPoolExecutor(1) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trial = pool.submit(rerank, fallback, "q", PASSAGES)
        slow.begun.acquire(timeout=10)
        assert rerank(fallback, "q", PASSAGES).answered_by == "second"
        slow.gate.set()
        assert trial.result().answered_by == "slow"
        assert rerank(fallback, "q", PASSAGES).answered_by == "slow"


def test_a_cancelled_trial_lets_the_next_call_try():
    class Hangs(Length):
        hangs = False

        async def _ascore(self, query, passages):
            if self.hangs:
                await asyncio.sleep(60)
            return self._score(query, passages)

    async def cancelled(fallback):
        task = asyncio.create_task(fallback.ascore("q", PASSAGES))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    hangs = Hangs("hangs", fails=down())
    fallback = Fallback(hangs, Length("second"), failures=1, retry_after=0)
    with pytest.warns(FallbackWarning):
        fallback.score("q", PASSAGES)
    hangs.hangs, hangs.fails = True, None
    asyncio.run(cancelled(fallback))
    with pytest.warns(FallbackWarning, match="hangs answers again"):
        assert rerank(fallback, "q", PASSAGES).answered_by == "hangs"


def test_a_circuit_opens_waits_and_lets_one_through():
    circuit = Circuit(failures=2, retry_after=10)
    for now in (0, 1):
        assert circuit.admit(now) == "call"
        circuit.settle("call", now, failed=True)
    assert circuit.admit(10.9) is None
    assert circuit.admit(11) == "trial"
    assert circuit.admit(11) is None
    circuit.settle("trial", 12, failed=True)
    assert circuit.admit(21.9) is None
    assert circuit.admit(22) == "trial"
    circuit.settle("trial", 22, failed=False)
    assert [circuit.admit(22), circuit.admit(22)] == ["call", "call"]


def test_a_success_between_failures_keeps_the_circuit_closed():
    circuit = Circuit(failures=2, retry_after=10)
    for failed in (True, False, True, None, False, True):
        circuit.settle("call", 0, failed=failed)
    assert circuit.admit(0) == "call"


def test_two_scorers_of_one_name_are_told_apart(ranked, second):
    one, other = Length("same"), Length("same", 2.0)
    fallback = Fallback(one, other, second)
    one.fails = down()
    with pytest.warns(FallbackWarning, match=r"same \(2\) answers after same \(1\) failed"):
        assert ranked(fallback, "q", PASSAGES).answered_by == "same (2)"
    assert fallback.answers == {"same (1)": 0, "same (2)": 1, "second": 0}


def test_many_threads_leave_the_account_right(first, second):
    fallback = Fallback(first, second)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: fallback.score("q", PASSAGES), range(200)))
    assert fallback.answers == {"first": 200, "second": 0}


def test_a_pickle_falls_back_as_the_original_and_begins_anew():
    fallback = Fallback(Broken(), Length("second"), thresholds=(None, 2), failures=1)
    with pytest.warns(FallbackWarning):
        fallback.score("q", PASSAGES)
    twin = pickle.loads(pickle.dumps(fallback))
    assert twin.answers == {"Broken": 0, "second": 0}
    with pytest.warns(FallbackWarning):
        assert [one.index for one in rerank(twin, "q", PASSAGES)] == [1, 2]


class Broken(Scorer):
    def _score(self, query, passages):
        raise down()


def test_it_closes_all_even_if_one_can_not_be_closed(first, second):
    class Stuck(Length):
        def close(self):
            raise OSError("stuck")

    with pytest.raises(OSError, match="stuck"), Fallback(first, Stuck(), second):
        pass
    assert first.closed
    assert second.closed


def test_it_says_what_it_is(first, second):
    fallback = Fallback(first, second, failures=2)
    assert fallback.name == "first, else second"
    assert repr(fallback).endswith("failures=2, retry_after=60)")


@pytest.mark.parametrize(
    ("scorers", "options", "kind", "message"),
    [
        ([Length()], {}, ValueError, "give two or more"),
        ([Length(), "bundled"], {}, TypeError, r"scorers\[1\] must be a Scorer, not str; nvrerank.scorer_of"),
        ([Length(), Length()], {"on": OSError}, TypeError, "on must be errors of nvrerank"),
        ([Length(), Length()], {"on": ()}, TypeError, "on must be errors of nvrerank"),
        ([Length(), Length()], {"thresholds": [1]}, ValueError, "1 thresholds for 2 scorers"),
        ([Length(), Length()], {"thresholds": [1, "2"]}, TypeError, r"thresholds\[1\] must be a number"),
        ([Length(), Length()], {"thresholds": [1, float("nan")]}, ValueError, r"thresholds\[1\]"),
        ([Length(), Length()], {"failures": 0}, ValueError, "failures must be 1 or more"),
        ([Length(), Length()], {"retry_after": -1}, ValueError, "retry_after must be 0 or more"),
    ],
)
def test_a_bad_argument_is_refused_at_construction(scorers, options, kind, message):
    with pytest.raises(kind, match=message):
        Fallback(*scorers, **options)


def test_a_late_answer_from_before_the_change_warns_of_nothing():
    class Late(Gated):
        def _score(self, query, passages):
            return (
                super()._score(query, passages) if query == "late" else Broken._score(self, query, passages)
            )

    late = Late("late")
    fallback = Fallback(late, Length("second"))
    with ThreadPoolExecutor(1) as pool, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        answer = pool.submit(rerank, fallback, "late", PASSAGES)
        late.begun.acquire(timeout=10)
        fallback.score("q", PASSAGES)
        late.gate.set()
        assert answer.result().answered_by == "late"
        fallback.score("q", PASSAGES)
    assert [str(one.message).split(" after")[0] for one in told] == ["second answers"]
