"""Sends a request until its outcome is final. A thread's loop and a task's loop share every decision."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar
from urllib.request import getproxies

from nvrerank.errors import BadResponseError, NVRerankError

from .call import Batch, Call
from .clients import Clients
from .deadline import Watch
from .error_mapping import Circumstances, bad_response, problem
from .exchange import LATE
from .making import ClientSettings
from .messages import Failure, Outcome, Reply, Request
from .places import Budget, Places
from .protocols import CutReplyError
from .retry import Policy, Turn
from .settings import Settings

_log = logging.getLogger("nvrerank")
_chance = random.SystemRandom()
_OK = 200

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """A request and how its answer is read.

    Attributes:
        request: What to send.
        read: The body of an answer of status 200 -> what is wanted; raises BadResponseError.
        model: The model it names, for messages.
        batch: The passages it holds, for messages.
    """

    request: Request
    read: Callable[[bytes], T]
    model: str | None = None
    batch: Batch = field(default_factory=Batch)


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What was wanted."""

    value: T


class Sender:
    """The connections of one process, and what its calls share.

    Args:
        settings: The scorer's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._policy = Policy(settings.max_retries, polls=settings.endpoint.nvidia)
        self._budget = Budget()
        self._places = Places(settings.max_concurrency)
        self.asking = Places(1)
        self.clients = Clients(
            ClientSettings(
                key=settings.key if settings.keyed else None,
                headers=settings.headers,
                verify=settings.verify,
                transport=settings.transport,
                connections=settings.max_concurrency,
                tls=settings.endpoint.url.startswith("https:") or bool(getproxies()),
            ),
            dropped=self._places.give,
        )

    def ask(self, call: Call, question: Question[T]) -> T:
        """The answer, after as many tries as it takes.

        Raises:
            NVRerankError: There is none to be had.
        """
        step: Turn | Answer[T] = Turn(question.request)
        while isinstance(step, Turn):
            call.pause(step.pause)
            step = self._after(call, question, step, self.send(call, step.request))
        return step.value

    async def aask(self, call: Call, question: Question[T]) -> T:
        """As `ask`, in a task."""
        step: Turn | Answer[T] = Turn(question.request)
        while isinstance(step, Turn):
            await call.apause(step.pause)
            step = self._after(call, question, step, await self.asend(call, step.request))
        return step.value

    def send(self, call: Call, request: Request) -> Outcome:
        """Sends a request once, as soon as there is a place."""
        self.clients.drop_dead_loops()
        watch = call.watch()
        try:
            if not self._places.take(watch.remaining(), watch.hold):
                return LATE
            try:
                return self.clients.send(request, watch)
            finally:
                self._places.give()
        finally:
            call.unwatch(watch)

    async def asend(self, call: Call, request: Request) -> Outcome:
        """As `send`, in a task."""
        self.clients.drop_dead_loops()
        if not await self._places.atake(call.remaining()):
            return LATE
        return await self.clients.asend(request, Watch(call.ends), self._places.give)

    def error(self, call: Call, outcome: Outcome = LATE) -> NVRerankError:
        """The error of a request outside the loops, or of a call that is too late to send any."""
        return problem(outcome, self._about(call, Question(Request(""), bytes), Turn(Request(""))))

    def _after(self, call: Call, question: Question[T], turn: Turn, outcome: Outcome) -> Turn | Answer[T]:
        _note(question, turn, outcome)
        self.clients.refuse_if_closed()
        about = self._about(call, question, turn)
        refused: NVRerankError | None = None
        if isinstance(outcome, Reply) and outcome.status == _OK:
            read = _read(question, outcome)
            if isinstance(read, Answer):
                self._budget.put_back()
                return read
            refused, outcome = bad_response(read.words, outcome, about), read
        following = self._policy.next_turn(
            turn, outcome, remaining=call.remaining(), chance=_chance.random(), now=about.now
        )
        if following and (following.tries == turn.tries or self._budget.take()):
            return following
        raise refused or problem(outcome, replace(about, held_back=following is not None))

    def _about(self, call: Call, question: Question[T], turn: Turn) -> Circumstances:
        settings, batch = self._settings, question.batch
        return Circumstances(
            endpoint=settings.endpoint,
            model=question.model,
            timeout=call.timeout,
            tries=turn.tries,
            polls=turn.polls,
            keyed=settings.keyed,
            keyless=bool(settings.key) and not settings.keyed,
            held=(settings.key, settings.headers),
            texts=(call.query, *batch.passages),
            positions=batch.positions,
            held_back=False,
            now=time.time(),
        )


def _read(question: Question[T], reply: Reply) -> Answer[T] | Failure:
    """What was wanted, or what is wrong with the reply; the reader's frames hold what the server wrote."""
    try:
        return Answer(question.read(reply.body))
    except CutReplyError as error:
        return Failure("cut", str(error))
    except BadResponseError as error:
        return Failure("garbled", str(error))


def _note(question: Question[T], turn: Turn, outcome: Outcome) -> None:
    """Sizes, status and tries: no address, text or key."""
    _log.debug(
        "%s %d passages in %d bytes, try %d: %s",
        question.request.method,
        len(question.batch.positions),
        len(question.request.body or b""),
        turn.tries,
        outcome.status if isinstance(outcome, Reply) else outcome.kind,
    )
