"""Work in a forked child, within a time limit, since what a fork breaks hangs."""

from __future__ import annotations

import os
import pickle
import select
import signal
import traceback
from collections.abc import Callable
from typing import Any


class HangError(AssertionError):
    """The child did not answer in time."""


def in_child(work: Callable[[], Any], *, seconds: float = 20) -> Any:
    """What `work` returns in a forked child.

    Raises:
        HangError: It took longer than `seconds`; the child was killed.
        AssertionError: It raised, and this is its traceback.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = (True, work())
        except BaseException:  # noqa: BLE001  # told to the parent
            answer = (False, traceback.format_exc())
        os.write(writing, pickle.dumps(answer))  # less than a pipe holds
        os._exit(0)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], seconds)
        if not ready:
            os.kill(child, signal.SIGKILL)
            raise HangError(f"no answer in {seconds} s")
        fine, value = pickle.loads(os.read(reading, 1 << 20))
    finally:
        os.waitpid(child, 0)
        os.close(reading)
    if not fine:
        raise AssertionError(value)
    return value
