"""What calls share: places in order of arrival, over threads and loops, and a budget of retries."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from nvrerank.hosted.places import Budget, Places


def test_no_more_than_allowed_have_a_place_among_threads_and_tasks():
    places, lock = Places(3), threading.Lock()
    holding = most = 0

    def note(change):
        nonlocal holding, most
        with lock:
            holding += change
            most = max(most, holding)

    def by_thread():
        assert places.take(10)
        note(1)
        time.sleep(0.002)
        note(-1)
        places.give()

    async def by_task():
        assert await places.atake(10)
        note(1)
        await asyncio.sleep(0.002)
        note(-1)
        places.give()

    async def tasks():
        await asyncio.gather(*(by_task() for _ in range(40)))

    with ThreadPoolExecutor(10) as threads:
        done = [threads.submit(by_thread) for _ in range(40)]
        done += [threads.submit(asyncio.run, tasks()) for _ in range(2)]
        for one in done:
            one.result(10)
    assert (holding, most) == (0, 3)
    assert all(places.take(0) for _ in range(3))
    assert not places.take(0)


def test_who_waits_too_long_leaves_without_a_place():
    places = Places(1)
    assert places.take(0)
    assert not places.take(0.01)
    assert not asyncio.run(places.atake(0.01))
    places.give()
    assert places.take(0)


def test_a_wait_can_be_ended_by_another_thread():
    places, ends = Places(1), []
    assert places.take(0)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(places.take, 60, ends.append)
        while not ends:
            time.sleep(0.001)
        ends[0]()
        assert waiting.result(1) is False
    places.give()
    assert places.take(0)


async def test_first_come_first_served():
    places, order = Places(1), []
    assert await places.atake(1)

    async def come(name):
        assert await places.atake(1)
        order.append(name)
        places.give()

    tasks = [asyncio.create_task(come(name)) for name in "abc"]
    await asyncio.sleep(0)
    places.give()
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]


@pytest.mark.parametrize("granted_first", [False, True])
async def test_who_is_cancelled_in_the_queue_takes_no_place_along(granted_first):
    places = Places(1)
    assert await places.atake(1)
    waiting = asyncio.create_task(places.atake(1))
    await asyncio.sleep(0)
    if granted_first:
        places.give()
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    if not granted_first:
        places.give()
    assert await places.atake(0)
    assert not await places.atake(0)


def test_a_loop_that_died_in_the_queue_takes_no_place_along():
    places = Places(1)
    assert places.take(0)
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(places.atake(60))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    places.give()
    assert places.take(0)
    waiting.get_coro().close()  # what is left of the loop
    waiting._log_destroy_pending = False


def test_the_budget_allows_a_hundred_retries_and_one_more_for_five_successes():
    budget = Budget()
    assert [budget.take() for _ in range(101)] == [True] * 100 + [False]
    for _ in range(4):
        budget.put_back()
    assert not budget.take()
    budget.put_back()
    assert budget.take()
    assert not budget.take()


def test_the_budget_is_never_more_than_full():
    budget = Budget()
    for _ in range(1000):
        budget.put_back()
    assert [budget.take() for _ in range(101)].count(True) == 100
