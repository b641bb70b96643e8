"""A model's batches: planned by tokens, shared out to workers, smaller when memory runs out.

A worker has one torch thread. Torch's own threads meet after every operation: with one core busy elsewhere
all of them wait for it, while workers share only a queue, from which a slow core takes fewer batches.
A forked process has workers alone: torch's threads do not survive a fork; to wait for them is to hang.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import NoReturn, ParamSpec, TypeVar

import torch
from torch import Tensor
from tqdm.auto import tqdm

from nvrerank.errors import RequestRejectedError
from nvrerank.per_process import PerProcess, gate, is_forked

from .tokenization import TokenPair

Forward = Callable[[Sequence[TokenPair]], Tensor]
Plan = list[list[int]]
P = ParamSpec("P")
Result = TypeVar("Result")

LEAST = 128
"""Tokens below which a batch is more overhead than work."""

_drawing = PerProcess(threading.RLock)


class Inline(Executor):
    """The caller's own thread, with all of torch's threads behind each operation; one caller at a time."""

    def __init__(self) -> None:
        self._turn = PerProcess(threading.Lock)

    def submit(self, fn: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Future[Result]:
        """Does it before it returns."""
        done: Future[Result] = Future()
        try:
            with self._turn.get():
                done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  # a future carries what its work raised
            done.set_exception(error)
        return done


class Workers(ThreadPoolExecutor):
    """Workers of one torch thread each; batches are taken in the order in which they came.

    Args:
        size: How many workers.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size, thread_name_prefix="nvrerank-core", initializer=_compute_alone)
        self.size = size
        # torch keeps the number for each thread and, in one global, for threads to come: all workers
        # start here, so that none of them changes it for threads that start later.
        others, started = torch.get_num_threads(), threading.Barrier(size + 1)
        for _ in range(size):
            self.submit(started.wait)
        started.wait()
        if not is_forked():
            torch.set_num_threads(others)


class _Shared:
    """One process's workers; a forked process's are as many as its parent had threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inherited = torch.get_num_threads() if is_forked() else None
        self.workers: Workers | None = None


_shared = PerProcess(_Shared)  # the cores are the process's, not a scorer's


def workers() -> Workers:
    """This process's workers, which all scorers share.

    There are as many as torch may use threads (`torch.set_num_threads`, OMP_NUM_THREADS).
    """
    shared = _shared.get()
    size = shared.inherited or torch.get_num_threads()
    with shared.lock:
        if shared.workers is None or shared.workers.size != size:
            shared.workers = Workers(size)
        return shared.workers


def use_one_thread() -> None:
    """Has this thread and those to come compute by themselves, as those of a forked process must."""
    _shared.get()  # remembers how many threads there were
    torch.set_num_threads(1)


class BatchRunner:
    """Runs a model over pairs; calls from several threads take turns batch by batch.

    Args:
        budget: Tokens computed at once; halved when memory runs out, for good.
        progress: Whether a bar shows the passages done.
        workers: Names the workers that share a call's batches; None: one batch after another.
    """

    def __init__(self, budget: int, *, progress: bool, workers: Callable[[], Workers] | None = None) -> None:
        self.budget = budget
        self.tokens = 0
        self._progress = progress
        self._workers = workers
        self._inline = Inline()

    def run(self, forward: Forward, pairs: Sequence[TokenPair], stopped: Callable[[], bool]) -> list[float]:
        """Scores pairs.

        Returns:
            A logit for each pair, in input order.

        Raises:
            CancelledError: `stopped`, which is asked before each batch, said so.
            RequestRejectedError: One pair alone does not fit into memory.
        """
        if is_forked():
            use_one_thread()
        call = _Computation(forward, pairs, *self._shared_out(pairs))
        with self._bar(len(pairs)) if self._progress else nullcontext() as bar:
            try:
                while call.waiting or call.under_way:
                    if stopped():
                        raise CancelledError
                    call.hand_out()
                    if failed := call.collect():
                        self._shrink(pairs, failed)
                        again = [position for batch in failed + call.waiting for position in batch]
                        call.waiting = self._plan(pairs, again, self.budget)
                    if bar is not None:
                        bar.update(len(call.done) - bar.n)
            finally:  # leaves nothing behind, whatever happened
                for future in call.under_way:
                    future.cancel()
                wait(call.under_way)
        logits = torch.cat(call.logits).tolist()  # the only transfer
        by_position = dict(zip(call.done, logits, strict=True))
        return [by_position[position] for position in range(len(pairs))]

    def _bar(self, count: int) -> tqdm[NoReturn]:
        if is_forked():  # somebody in the parent may hold the lock of all bars
            tqdm.set_lock(_drawing.get())
        return tqdm(total=count, unit="passage")

    def _shared_out(self, pairs: Sequence[TokenPair]) -> tuple[Executor, int, Plan]:
        """Who computes, how many batches at once, and which: workers, where there is a batch for each."""
        every, total = range(len(pairs)), sum(len(pair.ids) for pair in pairs)
        self.tokens += total
        workers = self._workers() if self._workers and len(pairs) > 1 and total > LEAST else None
        if workers is not None and workers.size > 1:
            plan = self._plan(pairs, every, share_of_budget(total, self.budget, workers.size))
            if len(plan) >= workers.size:
                return workers, workers.size + 1, plan  # one more waits, so that no worker does
        return self._inline, 1, self._plan(pairs, every, self.budget)

    def _plan(self, pairs: Sequence[TokenPair], positions: Sequence[int], budget: int) -> Plan:
        plan = by_token_budget([len(pairs[position].ids) for position in positions], budget)
        return [[positions[place] for place in batch] for batch in plan]

    def _shrink(self, pairs: Sequence[TokenPair], failed: Plan) -> None:
        for batch in failed:
            if len(batch) > 1:
                tokens = sum(len(pairs[position].ids) for position in batch)
                self.budget = min(self.budget, max(1, tokens // 2))


@dataclass(slots=True)
class _Computation:
    """The batches of one call: which wait, which are under way, and what came of the others."""

    forward: Forward
    pairs: Sequence[TokenPair]
    executor: Executor
    at_once: int
    waiting: Plan
    under_way: dict[Future[Tensor | None], list[int]] = field(default_factory=dict)
    done: list[int] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)  # of `done`; stay on the device until all are there

    def hand_out(self) -> None:
        while self.waiting and len(self.under_way) < self.at_once:
            batch = self.waiting.pop(0)
            chosen = [self.pairs[position] for position in batch]
            self.under_way[self.executor.submit(_attempt, self.forward, chosen)] = batch

    def collect(self) -> Plan:
        """Waits for a batch or more; those that did not fit into memory come back.

        Raises:
            RequestRejectedError: One is a single pair, and nothing else was under way.
        """
        failed = []
        for future in wait(self.under_way, return_when=FIRST_COMPLETED).done:
            batch, logits = self.under_way.pop(future), future.result()
            if logits is not None:
                self.done += batch
                self.logits.append(logits)
                continue
            if len(batch) == 1 and self.at_once == 1:
                raise RequestRejectedError(
                    f"{len(self.pairs[batch[0]].ids)} tokens do not fit into memory, even alone: give a "
                    "smaller max_length, a smaller dtype or another device",
                    index=batch[0],
                )
            self.at_once = 1  # what is under way beside it may hold what was missing
            failed.append(batch)
        return failed


def by_token_budget(lengths: Sequence[int], budget: int) -> Plan:
    """Fills batches of positions with the longest first, up to `budget` tokens each.

    Longest first finds a shortage of memory at once and keeps like with like. A sequence that is over the
    budget by itself gets a batch of its own.
    """
    plan: Plan = []
    used = budget + 1  # so that the first position opens a batch
    for position in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):  # stable
        if used + lengths[position] > budget:
            plan.append([])
            used = 0
        plan[-1].append(position)
        used += lengths[position]
    return plan


def share_of_budget(total: int, budget: int, workers: int) -> int:
    """How many of all tokens a batch holds, at most `budget`, so that all workers are busy until the end.

    Four batches a worker leave little to wait for at the end; a batch has `LEAST` tokens. More batches are as
    many for each worker, with a sixteenth of room since none is filled to the brim.
    """
    share = max(LEAST, -(-total // (4 * workers)))
    if share <= budget:
        return share
    even = -(-total // (workers * -(-total // (budget * workers))))
    return min(budget, even + even // 16)


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


def _compute_alone() -> None:
    torch.get_num_threads()  # a thread's first question takes the global number and would undo the next line
    torch.set_num_threads(1)


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator gave up; the CPU's and cuBLAS's say so only in words."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return re.search("can't allocate memory|(not enough|out of) memory|ALLOC_FAILED", str(error)) is not None
