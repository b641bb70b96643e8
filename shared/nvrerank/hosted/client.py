"""The connections of one process, and the loops that send a request until its outcome is final.

There is one transport for all threads and one for each event loop, for as long as each lives. A thread's loop
and a task's loop share every decision.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
import weakref
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from nvrerank.errors import BadResponseError, InvalidArgumentError, NVRerankError, ScorerClosedError

from .concurrency import Limiter, RetryBudget
from .deadline import Deadline
from .error_mapping import ErrorContext, error_for
from .protocols import CutReplyError
from .retry import ApiRequest, Attempt, Failure, Outcome, Reply, RetryPolicy
from .settings import HostedSettings
from .transport import LATE, AsyncPoolTransport, PoolOptions, PoolTransport, aexchange, exchange

_log = logging.getLogger("nvrerank")
_chance = random.SystemRandom()
_LOGGED = "%s %d passages in %d bytes, try %d: %s"  # no address, text or key
_OK = 200

T = TypeVar("T")


class Client:
    """The connections of one process, and what its calls share.

    Args:
        settings: The scorer's.
    """

    def __init__(self, settings: HostedSettings) -> None:
        self.discovering = Limiter(1)
        self._settings = settings
        self._policy = RetryPolicy(settings.max_retries, polls=settings.endpoint.nvidia)
        self._budget = RetryBudget()
        self._limiter = Limiter(settings.max_concurrency)
        self._options = PoolOptions(settings.verify, settings.max_concurrency)
        self._transport: Any = settings.transport or PoolTransport(self._options)
        self._deadlines: weakref.WeakSet[Deadline] = weakref.WeakSet()  # of calls in threads
        self._loops: dict[asyncio.AbstractEventLoop, _LoopTransport] = {}
        self._lock = threading.Lock()
        self._closed = False

    def ask(self, request: ApiRequest[T], deadline: Deadline) -> T:
        """The answer, after as many tries as it takes.

        Raises:
            NVRerankError: There is none to be had.
        """
        step: Attempt | T = Attempt(request.url, request.body)
        while isinstance(step, Attempt):
            if step.pause:
                deadline.stopped.wait(step.pause)
            step = self._following(request, deadline, step, self.send(step, deadline))
        return step

    async def aask(self, request: ApiRequest[T], deadline: Deadline) -> T:
        """As `ask`, in a task."""
        step: Attempt | T = Attempt(request.url, request.body)
        while isinstance(step, Attempt):
            if step.pause:
                await asyncio.sleep(step.pause)
            step = self._following(request, deadline, step, await self.asend(step, deadline))
        return step

    def send(self, attempt: Attempt, deadline: Deadline) -> Outcome:
        """Sends a request once, as soon as there is a slot."""
        if self._loops:
            self._drop_dead_loops()
        if not hasattr(self._transport, "handle_request"):
            raise InvalidArgumentError("transport= has no handle_request: await ascore, or pass another one")
        if not self._limiter.acquire(deadline):
            return LATE
        try:
            with self._lock:
                self._deadlines.add(deadline)
            if self._closed:  # whoever closes stops the deadlines after saying so
                raise _closed()
            return exchange(self._transport, attempt, self._settings.credentials, deadline)
        finally:
            self._limiter.release()

    async def asend(self, attempt: Attempt, deadline: Deadline) -> Outcome:
        """As `send`, in a task of its own that a cancelled caller leaves to us to finish."""
        self._drop_dead_loops()
        if not await self._limiter.aacquire(deadline):
            return LATE
        try:
            loop = await self._loop_transport()
            work = aexchange(loop.transport, attempt, self._settings.credentials, deadline)
            task = asyncio.create_task(work)
        except BaseException:
            self._limiter.release()
            raise
        loop.under_way[task] = deadline
        task.add_done_callback(partial(self._settle, loop))
        try:
            await asyncio.wait({task}, timeout=max(deadline.remaining(), 0))
            return task.result() if task.done() else LATE
        finally:
            if not task.done():
                deadline.stop()
                if self._settings.transport:  # the caller's own, which knows no deadline
                    task.cancel()

    def error(self, outcome: Outcome) -> NVRerankError:
        """The error for a request outside the loops, or for a call that is too late to send any."""
        return error_for(outcome, ErrorContext(self._settings, ApiRequest("", bytes), Attempt("")))

    def close(self) -> None:
        """Closes everything: at once what is of threads, and soon what belongs to a running loop."""
        self._closed = True
        with self._lock:
            deadlines = list(self._deadlines)
        for deadline in deadlines:
            deadline.stop()
        if hasattr(self._transport, "close"):  # the caller's own may be for tasks alone
            self._transport.close()
        loops, self._loops = self._loops, {}
        for loop, entry in loops.items():
            if loop.is_closed():
                self._hang_up(entry)
            else:
                with contextlib.suppress(RuntimeError):  # it was closed just now
                    loop.call_soon_threadsafe(entry.close_soon)

    async def aclose(self) -> None:
        """As `close`, and waits for this loop's connections."""
        self._closed = True
        entry = self._loops.pop(asyncio.get_running_loop(), None)
        if entry:
            await entry.life.aclose()
        self.close()

    def _following(
        self, request: ApiRequest[T], deadline: Deadline, attempt: Attempt, outcome: Outcome
    ) -> Attempt | T:
        """The answer, or the next attempt; an error if neither is to be had."""
        result = outcome.status if isinstance(outcome, Reply) else outcome.kind
        method, size = "GET" if attempt.body is None else "POST", len(request.body or b"")
        _log.debug(_LOGGED, method, len(request.positions), size, attempt.tries, result)
        if self._closed:
            raise _closed()
        if isinstance(outcome, Reply) and outcome.status == _OK:
            try:
                answer = request.read(outcome.body)
            except BadResponseError as error:  # its frames hold what the server wrote
                cut = isinstance(error, CutReplyError)
                outcome = Failure("cut" if cut else "unreadable", str(error), unreadable=outcome)
            else:
                self._budget.refund()
                return answer
        left, chance, now = deadline.remaining(), _chance.random(), time.time()
        following = self._policy.following(attempt, outcome, remaining=left, chance=chance, now=now)
        if following and (following.tries == attempt.tries or self._budget.spend()):
            return following
        held_back = following is not None
        raise error_for(outcome, ErrorContext(self._settings, request, attempt, held_back, now))

    async def _loop_transport(self) -> _LoopTransport:
        loop = asyncio.get_running_loop()
        entry = self._loops.get(loop)
        if entry is None:
            transport = self._settings.transport or AsyncPoolTransport(self._options)
            if not hasattr(transport, "handle_async_request"):
                raise InvalidArgumentError(
                    "transport= has no handle_async_request: call score, or pass another one"
                )
            entry = _LoopTransport(transport)
            entry.life = self._lifetime(loop, entry)
            self._loops[loop] = entry
            await anext(entry.life)
        if self._closed:
            raise _closed()
        return entry

    async def _lifetime(
        self, loop: asyncio.AbstractEventLoop, entry: _LoopTransport
    ) -> AsyncGenerator[None, None]:
        """Closes a loop's transport when the loop ends: asyncio closes open generators before the loop."""
        try:
            yield
        finally:
            self._loops.pop(loop, None)
            for deadline in tuple(entry.under_way.values()):
                deadline.stop()
            await entry.transport.aclose()

    def _settle(self, loop: _LoopTransport, task: asyncio.Task[Outcome]) -> None:
        """A request is over: its slot is free."""
        del loop.under_way[task]
        if not task.cancelled():
            task.exception()  # looked at, so that nobody is told that it never was
        self._limiter.release()

    def _drop_dead_loops(self) -> None:
        """Lets go of loops that were closed without `shutdown_asyncgens`, and of the slots they held."""
        for loop in tuple(self._loops):
            if loop.is_closed() and (entry := self._loops.pop(loop, None)):
                self._hang_up(entry)

    def _hang_up(self, entry: _LoopTransport) -> None:
        if isinstance(entry.transport, AsyncPoolTransport):
            entry.transport.hang_up()
        for _ in entry.under_way:
            self._limiter.release()


@dataclass(eq=False, slots=True)
class _LoopTransport:
    """One event loop's transport.

    Attributes:
        transport: The transport.
        under_way: Requests that are not finished, with the deadlines of their calls.
        life: A generator that ends with the loop and closes the transport.
    """

    transport: Any
    under_way: dict[asyncio.Task[Outcome], Deadline] = field(default_factory=dict)
    life: AsyncGenerator[None, None] = field(init=False)
    closing: asyncio.Task[None] | None = None

    def close_soon(self) -> None:
        """Closes the transport; for the loop itself to call."""
        self.closing = asyncio.ensure_future(self.life.aclose())


def _closed() -> ScorerClosedError:
    return ScorerClosedError("the scorer was closed while a call was under way")
