"""Limited: so many calls a minute and at once, in order of arrival, for threads and event loops alike."""

from __future__ import annotations

import asyncio
import copy
import math
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.simple_scorers import Gated, Length

from nvrerank import Limited, LocalScorer, RateLimitError
from nvrerank.compose.arrivals import Arrivals


def yes() -> bool:
    return True


class Busy(Length):
    """Counts how many calls are under way."""

    def __init__(self):
        super().__init__("busy")
        self.under_way = self.most = 0
        self.order = []
        self.lock = threading.Lock()

    def _score(self, query, passages):
        with self.lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self.order.append(query)
        time.sleep(0.005)
        with self.lock:
            self.under_way -= 1
        return super()._score(query, passages)


def test_threads_and_event_loops_share_the_places():
    async def many(scorer):
        await asyncio.gather(*(scorer.ascore("q", ["a"]) for _ in range(10)))

    busy = Busy()
    limited = Limited(busy, max_concurrency=2)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(limited.score, "q", ["a"]) for _ in range(10)]
        calls += [pool.submit(asyncio.run, many(limited)) for _ in range(2)]
        for call in calls:
            call.result()
    assert busy.most == 2
    assert len(busy.asked) == 30


def test_control_without_a_limit_more_are_under_way():
    busy = Busy()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: busy.score("q", ["a"]), range(40)))
    assert busy.most > 2


def test_turns_come_in_order_of_arrival_in_one_queue_for_both_ways():
    async def asynchronous(limited, query):
        await limited.ascore(query, ["a"])

    gated = Gated()
    limited = Limited(gated, max_concurrency=1)
    arrivals = limited._arrivals.get()
    with ThreadPoolExecutor(8) as pool:
        calls = []
        for number in range(7):
            ask = limited.score if number % 2 else lambda query, _: asyncio.run(asynchronous(limited, query))
            calls.append(pool.submit(ask, str(number), ["a"]))
            if number == 0:
                gated.begun.acquire(timeout=10)
            wait_until(lambda number=number: len(arrivals._waiting) == number)
        gated.gate.set()
        for call in calls:
            call.result()
    assert [query for query, _ in gated.asked] == [str(number) for number in range(7)]


def wait_until(true):
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_cancelled_waiter_gives_its_place_up():
    async def scenario():
        loop = asyncio.get_running_loop()
        first = loop.run_in_executor(None, limited.score, "first", ["a"])
        await loop.run_in_executor(None, gated.begun.acquire)
        second = asyncio.create_task(limited.ascore("second", ["a"]))
        await asyncio.sleep(0.01)
        third = asyncio.create_task(limited.ascore("third", ["a"]))
        await asyncio.sleep(0.01)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        gated.gate.set()
        await asyncio.gather(first, third)

    gated = Gated()
    limited = Limited(gated, max_concurrency=1)
    asyncio.run(scenario())
    assert [query for query, _ in gated.asked] == ["first", "third"]


def test_a_cancelled_call_gives_its_turn_back():
    class Hangs(Length):
        async def _ascore(self, query, passages):
            await asyncio.sleep(60)

    async def cancelled():
        task = asyncio.create_task(limited.ascore("q", ["a"]))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    limited = Limited(Hangs(), max_concurrency=1, max_wait=5)
    asyncio.run(cancelled())
    assert limited.score("q", ["a"]) == [1.0]


def test_a_turn_that_fails_is_given_back(detailed):
    limited = Limited(Length(fails=ValueError("no")), max_concurrency=1, max_wait=0)
    for _ in range(3):
        with pytest.raises(Exception, match="no") as caught:
            detailed(limited, "q", ["a"])
        assert not isinstance(caught.value, RateLimitError)


def test_who_waits_too_long_is_told(detailed):
    gated = Gated()
    limited = Limited(gated, max_concurrency=1, max_wait=0.02)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(limited.score, "q", ["a"])
        gated.begun.acquire(timeout=10)
        with pytest.raises(
            RateLimitError, match=r"gated had no turn within max_wait=0.02 .*max_concurrency=1"
        ):
            detailed(limited, "q", ["a"])
        gated.gate.set()
        assert first.result() == [1.0]
    assert detailed(limited, "q", ["a"])


def test_who_would_wait_too_long_is_told_at_once(detailed):
    limited = Limited(Length(), requests_per_minute=2, max_wait=50)
    detailed(limited, "q", ["a"])
    detailed(limited, "q", ["a"])
    began = time.monotonic()
    with pytest.raises(RateLimitError, match="requests_per_minute=2") as caught:
        detailed(limited, "q", ["a"])
    assert time.monotonic() - began < 5
    assert 50 < caught.value.retry_after <= 60


def test_no_window_of_the_length_begins_more_turns_than_there_are():
    arrivals, began, now = Arrivals(3, 10.0, None), [], 0.0
    for arrival in range(20):
        with arrivals.place(yes) as place:
            now = max(now, arrival * 1.5)
            while (pause := arrivals.pause(place, now)) is not None:
                now += pause
            began.append(now)
    assert all(later - earlier >= 10.0 for earlier, later in zip(began, began[3:], strict=False))
    assert began[:3] == [0.0, 1.5, 3.0], "nobody waits who need not"
    assert began[3] == 10.0


def test_the_second_in_the_queue_waits_although_there_is_room():
    arrivals = Arrivals(1, 10.0, 2)
    with arrivals.place(yes) as first, arrivals.place(yes) as second, arrivals.place(yes) as third:
        assert arrivals.pause(second, 0) == math.inf
        assert arrivals.pause(first, 0) is None
        assert arrivals.pause(second, 1) == 9
        assert arrivals.pause(third, 1) == math.inf
        assert arrivals.pause(second, 10) is None
        assert arrivals.pause(third, 20) == math.inf, "two are under way"


def test_a_place_whose_owner_is_gone_is_passed_over():
    woken = []
    arrivals = Arrivals(None, 1, 1)
    with arrivals.place(yes) as first, arrivals.place(lambda: False):
        assert arrivals.pause(first, 0) is None
        with arrivals.place(lambda: not woken.append("third")) as third:
            arrivals._free = 1
            arrivals._wake_first()
            assert woken
            assert arrivals.pause(third, 0) is None


def test_many_queries_are_one_turn_of_a_scorer_that_takes_them_together():
    bundled = Limited(LocalScorer(device="cpu"), requests_per_minute=1, max_wait=0)
    assert len(bundled.score_many([("q", ["a"]), ("r", ["b"])])) == 2
    with pytest.raises(RateLimitError):
        Limited(Length(), requests_per_minute=1, max_wait=0).score_many([("q", ["a"]), ("r", ["b"])])


def test_a_copy_shares_the_limit_and_a_pickle_begins_anew():
    limited = Limited(Length(), requests_per_minute=1, max_wait=0)
    limited.score("q", ["a"])
    for twin in (copy.copy(limited), copy.deepcopy(limited)):
        with pytest.raises(RateLimitError):
            twin.score("q", ["a"])
    assert pickle.loads(pickle.dumps(limited)).score("q", ["a"]) == [1.0]


def test_it_is_the_scorer_within_in_all_else():
    inner = Length("inner", scale="probability", calibrated=False, identity={"model": "m"})
    limited = Limited(inner, max_concurrency=1)
    assert (limited.name, limited.scale, limited.calibrated) == ("inner", "probability", False)
    assert limited.identity == {"model": "m"}
    assert repr(Limited(inner, requests_per_minute=3, max_wait=1)).endswith(
        "requests_per_minute=3, max_wait=1)"
    )


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({}, ValueError, "nothing is limited"),
        ({"max_concurrency": 0}, ValueError, "max_concurrency must be 1 or more"),
        ({"requests_per_minute": 1.5}, TypeError, "requests_per_minute must be a whole number"),
        ({"max_concurrency": 1, "max_wait": -1}, ValueError, "max_wait must be 0 or more"),
        ({"max_concurrency": 1, "scorer": None}, TypeError, "scorer must be a Scorer, not NoneType"),
    ],
)
def test_a_bad_argument_is_refused_at_construction(options, kind, message):
    with pytest.raises(kind, match=message):
        Limited(**{"scorer": Length(), **options})
