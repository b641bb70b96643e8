"""A fork waits until no thread is within native code of ours.

The child has the forking thread alone. A lock that another thread held at that moment stays taken in it for
good: Python's are made anew (`nvrerank.per_process`); those of MKL, oneDNN, a tokenizer or a module that was
being imported can't be. Without the gate one of 150 children forked beside two scoring threads hung.
"""

from __future__ import annotations

import os
import threading

_LONGEST_WAIT = 60  # seconds; then the fork goes on, since whoever is awaited may wait for the forking thread


class ForkGate:
    """`with gate:` around work that a fork must not cut through; not to be nested."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begins anew: what a child has of it is its parent's."""
        self._changed = threading.Condition()
        self._inside: set[int] = set()  # threads
        self._forking = 0

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._forking)
            self._inside.add(threading.get_ident())

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside.discard(threading.get_ident())
            self._changed.notify_all()

    def close(self) -> None:
        """Lets nobody in and waits until all others are out; keeps the lock until `open`."""
        own = {threading.get_ident()}
        self._changed.acquire()
        self._forking += 1
        self._changed.wait_for(lambda: self._inside <= own, _LONGEST_WAIT)

    def open(self) -> None:
        """Lets everybody in again."""
        self._forking -= 1
        self._changed.notify_all()
        self._changed.release()


gate = ForkGate()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=gate.close, after_in_parent=gate.open, after_in_child=gate.reset)
