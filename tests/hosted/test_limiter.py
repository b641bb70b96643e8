"""What calls share: slots in order of arrival, over threads and loops, and a budget of retries."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from nvrerank.hosted.concurrency import Limiter, RetryBudget
from nvrerank.hosted.deadline import Deadline


def test_no_more_than_allowed_have_a_slot_among_threads_and_tasks():
    limiter, lock = Limiter(3), threading.Lock()
    holding = most = 0

    def note(change):
        nonlocal holding, most
        with lock:
            holding += change
            most = max(most, holding)

    def by_thread():
        assert limiter.acquire(Deadline(10))
        note(1)
        time.sleep(0.002)
        note(-1)
        limiter.release()

    async def by_task():
        assert await limiter.aacquire(Deadline(10))
        note(1)
        await asyncio.sleep(0.002)
        note(-1)
        limiter.release()

    async def tasks():
        await asyncio.gather(*(by_task() for _ in range(40)))

    with ThreadPoolExecutor(10) as threads:
        done = [threads.submit(by_thread) for _ in range(40)]
        done += [threads.submit(asyncio.run, tasks()) for _ in range(2)]
        for one in done:
            one.result(10)
    assert (holding, most) == (0, 3)
    assert all(limiter.acquire(Deadline(0)) for _ in range(3))
    assert not limiter.acquire(Deadline(0))


def test_who_waits_too_long_leaves_without_a_slot():
    limiter = Limiter(1)
    assert limiter.acquire(Deadline(0))
    assert not limiter.acquire(Deadline(0.01))
    assert not asyncio.run(limiter.aacquire(Deadline(0.01)))
    limiter.release()
    assert limiter.acquire(Deadline(0))


def test_a_wait_can_be_ended_by_another_thread():
    limiter, deadline = Limiter(1), Deadline(60)
    assert limiter.acquire(Deadline(0))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(limiter.acquire, deadline)
        time.sleep(0.02)
        deadline.stop()
        assert waiting.result(1) is False
    limiter.release()
    assert limiter.acquire(Deadline(0))


async def test_first_come_first_served():
    limiter, order = Limiter(1), []
    assert await limiter.aacquire(Deadline(1))

    async def come(name):
        assert await limiter.aacquire(Deadline(1))
        order.append(name)
        limiter.release()

    tasks = [asyncio.create_task(come(name)) for name in "abc"]
    await asyncio.sleep(0)
    limiter.release()
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]


@pytest.mark.parametrize("granted_first", [False, True])
async def test_who_is_cancelled_in_the_queue_takes_no_slot_along(granted_first):
    limiter = Limiter(1)
    assert await limiter.aacquire(Deadline(1))
    waiting = asyncio.create_task(limiter.aacquire(Deadline(1)))
    await asyncio.sleep(0)
    if granted_first:
        limiter.release()
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    if not granted_first:
        limiter.release()
    assert await limiter.aacquire(Deadline(0))
    assert not await limiter.aacquire(Deadline(0))


def test_a_loop_that_died_in_the_queue_takes_no_slot_along():
    limiter = Limiter(1)
    assert limiter.acquire(Deadline(0))
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(limiter.aacquire(Deadline(60)))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    limiter.release()
    assert limiter.acquire(Deadline(0))
    waiting.get_coro().close()  # what is left of the loop
    waiting._log_destroy_pending = False


def test_the_budget_allows_a_hundred_retries_and_one_more_for_five_successes():
    budget = RetryBudget()
    assert [budget.spend() for _ in range(101)] == [True] * 100 + [False]
    for _ in range(4):
        budget.refund()
    assert not budget.spend()
    budget.refund()
    assert budget.spend()
    assert not budget.spend()


def test_the_budget_is_never_more_than_full():
    budget = RetryBudget()
    for _ in range(1000):
        budget.refund()
    assert [budget.spend() for _ in range(101)].count(True) == 100
