"""Threads, tasks, event loops and forks: nothing is lost, mixed up or left behind."""

import asyncio
import gc
import os
import pickle
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fake_nim import steps, truth

from nvrerank import ServiceUnavailableError

PASSAGES = ["a", "b", "c"]


def right(query):
    return [truth(query, passage) for passage in PASSAGES]


async def hang_before(wire, seen):
    """Answers the query "after" and no other."""
    await (steps.rank() if seen.pair[0] == "after" else steps.hang)(wire, seen)


def test_threads_share_a_scorer(nim, hosted):
    server = nim(default=steps.rank(0.01))
    scorer = hosted(server, max_concurrency=8)
    with ThreadPoolExecutor(64) as threads:
        queries = [f"q{number}" for number in range(192)]
        assert list(threads.map(lambda query: scorer.score(query, PASSAGES), queries)) == list(
            map(right, queries)
        )
    assert server.most_in_flight <= 8
    assert server.accepted <= 8


async def test_tasks_share_a_scorer(nim, hosted):
    server = nim(default=steps.rank(0.01))
    async with hosted(server, max_concurrency=8) as scorer:
        queries = [f"q{number}" for number in range(192)]
        answers = await asyncio.gather(*(scorer.ascore(query, PASSAGES) for query in queries))
    assert answers == list(map(right, queries))
    assert server.most_in_flight <= 8
    assert server.accepted <= 8


def test_threads_and_tasks_are_bounded_together(nim, hosted):
    server = nim(default=steps.rank(0.02))
    scorer = hosted(server, max_concurrency=4)

    async def main():
        calls = [scorer.ascore(f"a{number}", PASSAGES) for number in range(20)]
        threads = [asyncio.to_thread(scorer.score, f"s{number}", PASSAGES) for number in range(20)]
        return await asyncio.gather(*calls, *threads)

    names = [f"{kind}{number}" for kind in "as" for number in range(20)]
    assert asyncio.run(main()) == list(map(right, names))
    assert server.most_in_flight <= 4


def test_score_works_inside_a_running_loop(nim, hosted):
    scorer = hosted(nim())

    async def main():
        return scorer.score("q", PASSAGES)

    assert asyncio.run(main()) == right("q")


def test_event_loops_one_after_another_and_at_once(nim, hosted):
    server = nim(default=steps.rank(0.005))
    scorer = hosted(server)

    async def some(first):
        queries = [f"q{first + number}" for number in range(6)]
        assert await asyncio.gather(*(scorer.ascore(query, PASSAGES) for query in queries)) == list(
            map(right, queries)
        )

    for first in range(3):
        asyncio.run(some(first))
    assert server.idle()  # a loop that ends takes its connections along
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(asyncio.run, some(first)) for first in range(10, 14)]:
            done.result()
    assert server.idle()


@pytest.mark.filterwarnings(
    "ignore:unclosed transport:ResourceWarning"
)  # asyncio's own, of the loop left open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_was_just_closed_is_let_go_at_the_next_use(nim, hosted):
    server = nim()
    scorer = hosted(server)
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(scorer.ascore("q", PASSAGES)) == right("q")
    loop.close()
    assert not server.idle(0.05)
    assert asyncio.run(scorer.ascore("q", PASSAGES)) == right("q")
    assert server.idle()
    gc.collect()


def test_a_loop_that_ends_in_the_middle_of_calls_leaves_nothing(nim, hosted):
    server = nim(default=hang_before)
    scorer = hosted(server, max_concurrency=2)

    async def main():
        calls = [asyncio.create_task(scorer.ascore("q", PASSAGES)) for _ in range(3)]
        await asyncio.sleep(0.05)
        return calls

    assert all(call.cancelled() for call in asyncio.run(main()))
    assert server.idle()
    assert asyncio.run(scorer.ascore("after", PASSAGES)) == right("after")


@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_was_just_closed_in_the_middle_of_calls_gives_its_places_back(nim, hosted):
    server = nim(default=hang_before)
    scorer = hosted(server, max_concurrency=2, timeout=2)
    loop = asyncio.new_event_loop()
    calls = [loop.create_task(scorer.ascore("q", PASSAGES)) for _ in range(2)]
    loop.run_until_complete(asyncio.sleep(0.05))
    assert server.in_flight == 2
    loop.close()
    assert asyncio.run(scorer.ascore("after", PASSAGES)) == right("after")
    assert server.idle()
    del calls
    gc.collect()


def test_closing_from_a_thread_closes_the_connections_of_a_running_loop(nim, hosted):
    server = nim()
    scorer = hosted(server)

    async def main():
        await scorer.ascore("q", PASSAGES)
        assert server.connections == 1
        await asyncio.to_thread(scorer.close)
        return await asyncio.to_thread(server.idle)

    assert asyncio.run(main())


def test_a_call_under_way_when_the_scorer_is_closed_fails_and_opens_nothing(nim, hosted):
    server = nim(default=steps.hang)
    scorer = hosted(server)
    pausing = hosted(nim(default=steps.answer(503, b"", retry_after="0.3")))
    with ThreadPoolExecutor(2) as threads:
        call, other = (threads.submit(one.score, "q", PASSAGES) for one in (scorer, pausing))
        while not server.in_flight:
            time.sleep(0.005)
        time.sleep(0.1)
        for one in (scorer, pausing):
            one.close()
        for one in (call, other):
            with pytest.raises(RuntimeError, match="closed while a call was under way"):
                one.result(1)
    assert server.accepted == 1


async def test_a_task_under_way_when_the_scorer_is_closed_fails_too(nim, hosted):
    server = nim(default=steps.hang)
    scorer = hosted(server)
    call = asyncio.create_task(scorer.ascore("q", PASSAGES))
    await asyncio.sleep(0.1)
    await scorer.aclose()
    with pytest.raises(RuntimeError, match="closed while a call was under way"):
        async with asyncio.timeout(1):
            await call
    assert server.accepted == 1


def test_a_scorer_that_is_forgotten_closes_its_connections(nim, hosted):
    server = nim()
    copy = pickle.loads(pickle.dumps(hosted(server)))
    copy.score("q", PASSAGES)
    del copy
    gc.collect()
    assert server.idle()


@pytest.mark.parametrize("moment", [0.0, 0.0005, 0.002, 0.02, 0.1])
async def test_a_cancelled_call_frees_its_place_at_once(nim, hosted, moment):
    async with hosted(nim(default=hang_before), max_concurrency=1, timeout=2) as scorer:
        call = asyncio.create_task(scorer.ascore("q", PASSAGES))
        await asyncio.sleep(moment)
        call.cancel()
        begun = time.monotonic()
        await asyncio.wait({call})
        assert call.cancelled()
        assert await scorer.ascore("after", PASSAGES) == right("after")
        assert time.monotonic() - begun < 1  # on a busy machine; `make bench-hosted` measures the place alone


async def test_a_call_that_is_cancelled_again_and_again_is_cancelled_once(nim, hosted):
    async with hosted(nim(default=hang_before), max_concurrency=1, timeout=2) as scorer:
        for _ in range(20):
            call = asyncio.create_task(scorer.ascore("q", PASSAGES))
            await asyncio.sleep(0.002)
            for _ in range(5):
                call.cancel()
                await asyncio.sleep(0)
            await asyncio.wait({call})
        assert await scorer.ascore("after", PASSAGES) == right("after")


async def test_cancelling_at_any_step_leaves_every_place_usable(nim, hosted):
    server = nim(default=steps.rank(0.002))
    async with hosted(server, max_concurrency=3, max_batch_size=1) as scorer:
        await scorer.ascore("first", PASSAGES)
        for ticks in range(60):
            calls = [asyncio.create_task(scorer.ascore(f"q{number}", PASSAGES)) for number in range(4)]
            for _ in range(ticks):
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
        async with asyncio.timeout(2):
            answers = await asyncio.gather(*(scorer.ascore(f"q{number}", PASSAGES) for number in range(9)))
        assert answers == [right(f"q{number}") for number in range(9)]
        await asyncio.sleep(0.05)
        assert server.connections <= 3


async def test_the_control_bare_httpx_loses_places_for_ever_in_the_same_way(nim):
    server = nim()
    body = {"query": {"text": "q"}, "passages": [{"text": "a"}]}
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=3)) as client:
        for ticks in range(60):
            calls = [asyncio.create_task(client.post(f"{server.url}/ranking", json=body)) for _ in range(6)]
            for _ in range(ticks):
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.post(f"{server.url}/ranking", json=body)


async def test_a_call_cancelled_while_it_waits_for_its_place_leaves_the_queue(nim, hosted):
    server = nim(default=steps.rank(0.1))
    async with hosted(server, max_concurrency=1) as scorer:
        first = asyncio.create_task(scorer.ascore("first", PASSAGES))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(scorer.ascore("second", PASSAGES))
        third = asyncio.create_task(scorer.ascore("third", PASSAGES))
        await asyncio.sleep(0.01)
        second.cancel()
        assert [await first, await third] == [right("first"), right("third")]
        assert len(server.seen) == 2


async def test_cancelling_ends_a_pause_and_a_poll(nim, hosted):
    async with hosted(nim(default=steps.answer(503, b"", retry_after="5"))) as scorer:
        call = asyncio.create_task(scorer.ascore("q", PASSAGES))
        await asyncio.sleep(0.05)
        call.cancel()
        begun = time.monotonic()
        await asyncio.wait({call})
        assert time.monotonic() - begun < 0.5


def test_an_interrupt_ends_a_call_in_threads(nim, hosted):
    scorer = hosted(nim(default=steps.hang), max_batch_size=1)
    main = threading.get_ident()
    timer = threading.Timer(0.2, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        scorer.score("q", PASSAGES)
    timer.join()
    assert time.monotonic() - begun < 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings(
    "ignore:This process:DeprecationWarning"
)  # of forking with threads, which is the point
def test_a_forked_child_opens_connections_of_its_own(nim, hosted):
    server = nim()
    scorer = hosted(server)
    scorer.score("parent", PASSAGES)

    def child():
        ok = scorer.score("child", PASSAGES) == right("child")
        ok &= asyncio.run(scorer.ascore("child too", PASSAGES)) == right("child too")
        scorer.close()
        return ok

    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(0 if child() else 1)
            except BaseException:  # noqa: BLE001 (the child must not become a second test run)
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert scorer.score("parent", PASSAGES) == right("parent")
    assert server.accepted == 1 + 3 * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_in_the_middle_of_calls_disturbs_neither_side(nim, hosted):
    server = nim(default=steps.rank(0.01))
    scorer = hosted(server, max_concurrency=4)
    stop, wrong = threading.Event(), []

    def keep_calling():
        while not stop.is_set():
            wrong.extend([] if scorer.score("busy", PASSAGES) == right("busy") else ["busy"])

    threads = [threading.Thread(target=keep_calling) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            pid = os.fork()
            if pid == 0:
                signal.alarm(5)
                os._exit(0 if scorer.score("child", PASSAGES) == right("child") else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong


def test_faults_under_load_lose_and_mix_up_nothing(nim, hosted, score):
    faults = [
        steps.answer(503, b"", retry_after_ms="5"),
        steps.reset_at_once,
        steps.cut_short(0.5),
        steps.cut_chunk,
    ]
    server = nim(*[faults[number % 4] if number % 5 == 0 else steps.rank() for number in range(150)])
    scorer = hosted(server, max_batch_size=1, max_concurrency=8, max_retries=6)
    passages = [f"passage {number}" for number in range(100)]
    assert score(scorer, "q", passages) == [truth("q", passage) for passage in passages]


async def test_no_exception_is_left_unlooked_at(nim, hosted):
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    server = nim(default=steps.reset_at_once)
    async with hosted(server, max_retries=0, max_batch_size=1) as scorer:
        for _ in range(5):
            with pytest.raises(ServiceUnavailableError):
                await scorer.ascore("q", PASSAGES)
            call = asyncio.create_task(scorer.ascore("q", PASSAGES))
            await asyncio.sleep(0.003)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            del call
    gc.collect()
    await asyncio.sleep(0.01)
    assert not told
