"""A model's batches: planned by tokens, shared out to workers, smaller when memory runs out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import NoReturn

import torch
from torch import Tensor
from tqdm.auto import tqdm

from nvrerank.batches import by_token_budget, put_back, share_of_budget
from nvrerank.errors import RequestRejectedError
from nvrerank.per_process import PerProcess, is_forked

from .crew import Crew, Hands, Team, leave_team
from .forking import gate
from .prompt import TokenPair

Forward = Callable[[Sequence[TokenPair]], Tensor]

_drawing = PerProcess(threading.RLock)


class BatchRunner:
    """Runs a model over pairs; calls from several threads take turns batch by batch.

    Args:
        budget: Tokens computed at once; halved when memory runs out, for good.
        progress: Whether a bar shows the passages done.
        crew: Names the workers that share a call's batches; None: one batch after another.
    """

    def __init__(self, budget: int, *, progress: bool, crew: Callable[[], Crew] | None = None) -> None:
        self.budget = budget
        self._progress = progress
        self._crew = crew
        self._team = Team()

    def run(self, forward: Forward, pairs: Sequence[TokenPair], stopped: Callable[[], bool]) -> list[float]:
        """Scores pairs.

        Args:
            forward: Token ids of a batch to logits: [pairs]
            pairs: What to score.
            stopped: Asked before each batch.

        Returns:
            A logit for each pair, in input order.

        Raises:
            CancelledError: `stopped` said so.
            RequestRejectedError: One pair alone does not fit into memory.
        """
        leave_team()
        hands, plan = self._shared_out(pairs)
        call = _Call(hands, forward, pairs, plan)
        with self._bar(len(pairs)) as bar:
            try:
                while call.waiting or call.under_way:
                    if stopped():
                        raise CancelledError
                    call.hand_out()
                    if failed := call.collect():
                        self._shrink(pairs, failed)
                        again = [position for batch in failed + call.waiting for position in batch]
                        call.waiting = self._plan(pairs, again)
                    if bar is not None:
                        bar.update(call.finished - bar.n)
            finally:
                call.end()
        return call.scores()

    def _bar(self, count: int) -> AbstractContextManager[tqdm[NoReturn] | None]:
        if not self._progress:  # even a bar that is not shown takes the lock of all bars
            return nullcontext()
        if is_forked():  # somebody in the parent may hold theirs
            tqdm.set_lock(_drawing.get())
        return tqdm(total=count, unit="passage")

    def _shared_out(self, pairs: Sequence[TokenPair]) -> tuple[Hands, list[list[int]]]:
        """Who computes, and what: the crew, where there is a batch for each of it."""
        if self._crew is not None and len(pairs) > 1 and (crew := self._crew()).size > 1:
            total = sum(len(pair.ids) for pair in pairs)
            plan = self._plan(pairs, range(len(pairs)), share_of_budget(total, self.budget, crew.size))
            if len(plan) >= crew.size:
                return crew, plan
        return self._team, self._plan(pairs, range(len(pairs)))

    def _plan(
        self, pairs: Sequence[TokenPair], positions: Sequence[int], budget: int | None = None
    ) -> list[list[int]]:
        lengths = [len(pairs[position].ids) for position in positions]
        plan = by_token_budget(lengths, self.budget if budget is None else budget)
        return [[positions[place] for place in batch] for batch in plan]

    def _shrink(self, pairs: Sequence[TokenPair], failed: Sequence[Sequence[int]]) -> None:
        for batch in failed:
            if len(batch) > 1:
                tokens = sum(len(pairs[position].ids) for position in batch)
                self.budget = min(self.budget, max(1, tokens // 2))


class _Call:
    """The batches of one call: which wait, which are under way, what came of the others."""

    def __init__(
        self, hands: Hands, forward: Forward, pairs: Sequence[TokenPair], plan: list[list[int]]
    ) -> None:
        self.waiting = plan
        self.under_way: dict[Future[Tensor | None], list[int]] = {}
        self.finished = 0  # pairs
        self._hands, self._forward, self._pairs = hands, forward, pairs
        self._at_once = hands.size + 1 if hands.size > 1 else 1  # one more waits, so that no worker does
        self._done: list[list[int]] = []
        self._answers: list[Tensor] = []  # stay on the device until all are there

    def hand_out(self) -> None:
        while self.waiting and len(self.under_way) < self._at_once:
            batch = self.waiting.pop(0)
            work = partial(_attempt, self._forward, [self._pairs[position] for position in batch])
            self.under_way[self._hands.submit(work)] = batch

    def collect(self) -> list[list[int]]:
        """Waits for a batch or more; those that did not fit into memory come back.

        Raises:
            RequestRejectedError: One is a single pair, and nothing else was under way.
        """
        failed = []
        for future in wait(self.under_way, return_when=FIRST_COMPLETED).done:
            batch, logits = self.under_way.pop(future), future.result()
            if logits is not None:
                self._done.append(batch)
                self.finished += len(batch)
                self._answers.append(logits)
                continue
            if len(batch) == 1 and self._at_once == 1:
                raise _too_large(self._pairs, batch[0])
            self._at_once = 1  # what is under way beside it may hold what was missing
            failed.append(batch)
        return failed

    def end(self) -> None:
        """Leaves nothing behind, whatever happened."""
        for future in self.under_way:
            future.cancel()
        wait(self.under_way)

    def scores(self) -> list[float]:
        every = torch.cat(self._answers).tolist()  # the only transfer
        return put_back([[position for batch in self._done for position in batch]], [every], len(self._pairs))


def _attempt(forward: Forward, batch: Sequence[TokenPair]) -> Tensor | None:
    """The batch's logits; None: memory ran out."""
    with gate, torch.inference_mode():
        try:
            return forward(batch)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _too_large(pairs: Sequence[TokenPair], position: int) -> RequestRejectedError:
    return RequestRejectedError(
        f"{len(pairs[position].ids)} tokens do not fit into memory, even alone: give a smaller max_length, "
        "a smaller dtype or another device",
        index=position,
    )


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator gave up; the CPU's says so only in words."""
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        word in str(error) for word in words
    )
