"""The heap of a process that serves. What it does holds for the whole process: `serve` alone calls it."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_EVERY = 10.0  # seconds between two returns of freed memory
# glibc keeps what other threads than the first have freed; no other C library has or needs this
_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def freeze_heap() -> None:
    """Leaves what is loaded out of later garbage collections.

    Torch and a model are a million objects. A full collection that walks through them takes a quarter of a
    second, in which no thread runs, and health checks wait.
    """
    gc.collect()
    gc.freeze()


def return_freed() -> None:
    """Gives memory that was freed back to the system."""
    if _trim is not None:
        _trim(0)


@contextmanager
def trimmed_heap() -> Iterator[None]:
    """Within it freed memory is returned now and then, by a thread.

    Tensors of ever other sizes fragment the workers' heaps: without it they grow for minutes beyond
    what is in use.
    """
    over = threading.Event()

    def work() -> None:
        while not over.wait(_EVERY):
            return_freed()

    threading.Thread(target=work, daemon=True, name="nvrerank-trim").start()
    try:
        yield
    finally:
        over.set()
