"""PackedScorer: a scorer for many callers at once, whose calls are packed. Knows no HTTP."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from copy import copy

from nvrerank.errors import ScoringError
from nvrerank.scorer import Scale, Scored, Scorer, scores_together
from nvrerank.token_counter import TokenCounter

from .call_queue import CallQueue, QueuedCall, Watch

_PACKING, _WAITING = 2, 16  # threads: for a scorer that packs, and for one that waits for a server


class PackedScorer(Scorer):
    """A scorer for many callers at once, around one that computes: what waits is packed into one call.

    A call that fails is repeated request by request, so that a bad one fails alone.

    Args:
        scorer: What computes.
        queue: Where requests wait.
        watch: Is told of each call.
        threads: Calls of the scorer at once; None: as fits the scorer.

    Attributes:
        scorer: The inner one.
        queue: Where requests wait.
        failure: What came of loading the model, if it went wrong.
        on_loaded: Called once the model is loaded, before it is ready; None: nothing is.
        told: The callers' instruction; None: the scorer's own.
    """

    def __init__(self, scorer: Scorer, queue: CallQueue, watch: Watch, threads: int | None = None) -> None:
        self.scorer, self.queue = scorer, queue
        self.failure: Exception | None = None
        self.on_loaded: Callable[[], object] | None = None
        self.told: str | None = None
        self._watch = watch
        self._size = threads or (_PACKING if scores_together(scorer) else _WAITING)
        self._starting = threading.Lock()
        self._started = self._running = False
        self._loaded = threading.Event()

    @property
    def name(self) -> str:
        """The inner scorer's."""
        return self.scorer.name

    @property
    def scale(self) -> Scale:
        """The inner scorer's."""
        return self.scorer.scale

    @property
    def ready(self) -> bool:
        """Whether the model is loaded."""
        return self._loaded.is_set() and self.failure is None

    @property
    def reads_images(self) -> bool:
        """The inner scorer's."""
        return self.scorer.reads_images

    @property
    def listwise(self) -> bool:
        """The inner scorer's."""
        return self.scorer.listwise

    @property
    def instruction(self) -> str | None:
        """The callers', else the inner scorer's."""
        return self.scorer.instruction if self.told is None else self.told

    def token_counter(self, query: str) -> TokenCounter:
        """The inner scorer's."""
        return self.scorer.token_counter(query)

    def start(self) -> None:
        """Loads the model and begins to answer, in threads; the first call does it if nobody else did."""
        with self._starting:
            if not self._running:
                self._running = self._started = True
                self.queue.open()
                for work in [self._load, *[self._work] * self._size]:
                    threading.Thread(target=work, daemon=True, name="nvrerank-serve").start()

    def close(self) -> None:
        """Refuses what waits and what comes, until it is started again."""
        with self._starting:
            self._running = False
            self.queue.close()

    def _instructed(self, instruction: str) -> Scorer:
        """The same queue, asked with an instruction; one for which the scorer has no place is refused now."""
        self.scorer.with_instruction(instruction)
        if not self._started:
            self.start()
        twin = copy(self)
        twin.told = instruction
        return twin

    def _score(self, query: str, passages: Sequence[str]) -> list[Scored]:
        return self._submit(query, passages).result()

    async def _ascore(self, query: str, passages: Sequence[str]) -> list[Scored]:
        return await asyncio.wrap_future(self._submit(query, passages))

    def _submit(self, query: str, passages: Sequence[str]) -> Future[list[Scored]]:
        if not self._started:
            self.start()
        call = QueuedCall(query, passages, self.told)
        self.queue.put(call)
        return call.answer

    def _load(self) -> None:
        try:
            inner: object = self.scorer
            while inner is not None:  # also what a cache or a limit is around
                load: Callable[[], object] | None = getattr(inner, "load", None)
                if load is not None:
                    load()
                inner = getattr(inner, "scorer", None)
            if self.on_loaded is not None:
                self.on_loaded()
        except Exception as error:  # noqa: BLE001  # whoever runs the server is told, and asks `failure`
            self.failure = error
        self._loaded.set()

    def _work(self) -> None:
        while batch := self.queue.take():
            for told in dict.fromkeys(call.instruction for call in batch):
                self._answer([call for call in batch if call.instruction == told])
            self.queue.rest()

    def _answer(self, batch: Sequence[QueuedCall]) -> None:
        """Answers calls that have the same instruction."""
        began, told = time.monotonic(), batch[0].instruction
        try:
            scorer = self.scorer if told is None else self.scorer.with_instruction(told)
            answers = scorer.score_many_clean([(call.query, call.texts) for call in batch])
        except BaseException as error:  # noqa: BLE001  # a thread of ours lives on, whatever a scorer raises
            if len(batch) > 1:
                for call in batch:
                    self._answer([call])
            else:
                batch[0].answer.set_exception(
                    error if isinstance(error, Exception) else ScoringError("stopped")
                )
            return
        seconds, passages = time.monotonic() - began, sum(len(call.texts) for call in batch)
        tokens = sum(call.tokens for call in batch)
        self.queue.done(passages, tokens, seconds)
        self._watch.computed(len(batch), passages, tokens, seconds)
        for call, answer in zip(batch, answers, strict=True):
            call.answer.set_result(answer)
