"""Several batches of a call at once: in threads, or in tasks. The first error stops the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor, wait

from .call import Batch, Call
from .protocols import Scores


def in_threads(call: Call, score: Callable[[Batch], Scores], width: int) -> None:
    """Answers all batches of a call.

    Args:
        call: The call.
        score: Scores one batch.
        width: Threads; with one it is the caller's own.
    """
    if width == 1:
        _work(call, score)
        return
    with ThreadPoolExecutor(width, thread_name_prefix="nvrerank") as threads:
        try:
            wait([threads.submit(_work, call, score) for _ in range(width)])
        except BaseException:
            call.stop()
            raise


async def in_tasks(call: Call, score: Callable[[Batch], Coroutine[None, None, Scores]], width: int) -> None:
    """As `in_threads`, in tasks."""
    if width == 1:
        await _awork(call, score)
        return
    with contextlib.suppress(ExceptionGroup):  # the call has the first of them
        async with asyncio.TaskGroup() as group:
            for _ in range(width):
                group.create_task(_awork(call, score))


def _work(call: Call, score: Callable[[Batch], Scores]) -> None:
    try:
        for number, batch in call.batches():
            call.answer(number, score(batch))
    except Exception as error:
        call.fail(error)
        raise


async def _awork(call: Call, score: Callable[[Batch], Coroutine[None, None, Scores]]) -> None:
    try:
        for number, batch in call.batches():
            call.answer(number, await score(batch))
    except Exception as error:
        call.fail(error)
        raise
