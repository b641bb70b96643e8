"""Who computes the batches: one torch thread each in parallel, or torch's own team one after another.

A team's threads meet after every operation: with one core busy elsewhere all of them wait for it. Workers of
one thread each share only a queue, so a slow core takes fewer batches. A forked process has workers alone:
torch's team does not survive a fork, and whoever waits for its threads waits for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import torch

from nvrerank.per_process import PerProcess, is_forked

Result = TypeVar("Result")


class Hands(Protocol):
    """Something that does work, some at a time."""

    @property
    def size(self) -> int:
        """How much is done at once."""

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Does it, now or when its turn comes."""


class Team:
    """The caller's own thread, with all of torch's threads behind each operation; one caller at a time."""

    size = 1

    def __init__(self) -> None:
        self._turn = PerProcess(threading.Lock)

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Does it before it returns."""
        done: Future[Result] = Future()
        try:
            with self._turn.get():
                done.set_result(work())
        except Exception as error:  # noqa: BLE001  # a future carries what its work raised
            done.set_exception(error)
        return done


class Crew:
    """Workers of one torch thread each; batches are taken in the order in which they came.

    Args:
        size: How many workers.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="nvrerank-core", initializer=_compute_alone)
        # torch keeps the number for each thread and, in one global, for threads to come: all workers
        # start here, so that none of them changes it for threads that start later.
        others, started = torch.get_num_threads(), threading.Barrier(size + 1)
        for _ in range(size):
            self._pool.submit(started.wait)
        started.wait()
        if not is_forked():
            torch.set_num_threads(others)

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Has a worker do it, as soon as one is free."""
        return self._pool.submit(work)


class _Workers:
    """One process's crew; a forked process's is made before torch is told to use one thread."""

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._inherited = torch.get_num_threads() if is_forked() else None
        self._crew: Crew | None = None

    def crew(self) -> Crew:
        size = self._inherited or torch.get_num_threads()
        with self._making:
            if self._crew is None or self._crew.size != size:
                self._crew = Crew(size)
            return self._crew


_workers = PerProcess(_Workers)  # the cores are the process's, not a scorer's


def crew() -> Crew:
    """This process's workers, which all scorers share.

    There are as many as torch may use threads (`torch.set_num_threads`, OMP_NUM_THREADS).
    """
    return _workers.get().crew()


def leave_team() -> None:
    """In a forked process, has this thread and those to come compute by themselves."""
    if is_forked():
        _workers.get()
        torch.set_num_threads(1)


def _compute_alone() -> None:
    torch.get_num_threads()  # a thread's first question takes the global number and would undo the next line
    torch.set_num_threads(1)
