"""One call of several scorers in turn: who is asked next, who answered, and what is said of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from nvrerank.errors import NVRerankError
from nvrerank.truncation import warn_caller

from .circuit import Admission, Circuit


class FallbackWarning(UserWarning):
    """Another scorer answers than the one before."""


class Account:
    """Who failed and who answers, over all calls of a process."""

    def __init__(self, count: int, failures: int, retry_after: float) -> None:
        self.lock = threading.Lock()
        self.circuits = [Circuit(failures, retry_after) for _ in range(count)]
        self.answers = [0] * count
        self.answering = 0
        self.calls = 0  # begun
        self.changed = 0  # how many were, when another began to answer


class Call:
    """One call: whom it asks, and what became of that.

    Args:
        account: That of all calls.
        names: The scorers'.
        on: Errors after which the next one is asked.
        blind: Indices of scorers that are left out, since there are images and they read none.
    """

    def __init__(
        self,
        account: Account,
        names: list[str],
        on: tuple[type[NVRerankError], ...],
        blind: Collection[int] = (),
    ) -> None:
        self.names = names
        self._blind = blind
        self._account = account
        self._on = on
        self._errors: dict[str, NVRerankError] = {}
        self._admission: Admission = "call"
        with account.lock:
            account.calls += 1
            self._number = account.calls

    def order(self) -> Iterator[int]:
        """Indices of the scorers to ask; the last one in any case."""
        seeing = [index for index in range(len(self.names)) if index not in self._blind]
        for index in seeing:
            with self._account.lock:
                admission = self._account.circuits[index].admit(time.monotonic())
            if admission or index == seeing[-1]:
                self._admission = admission or "call"
                yield index

    @contextmanager
    def asking(self, index: int) -> Iterator[None]:
        """Within it a scorer is asked; an error that the next one is asked after is kept."""
        failed: bool | None = None
        try:
            yield
            failed = False
        except self._on as error:
            failed = True
            self._errors[self.names[index]] = error
        finally:
            with self._account.lock:
                self._account.circuits[index].settle(self._admission, time.monotonic(), failed=failed)

    def answered(self, index: int) -> None:
        """Counts the answer, and warns if somebody else answered before.

        A call that was under way when that changed tells nothing new, nor does one that not all could answer.
        """
        account = self._account
        with account.lock:
            account.answers[index] += 1
            before = account.answering
            if self._blind or before == index or self._number <= account.changed:
                return
            account.answering, account.changed = index, account.calls
        reason = self._errors.get(self.names[before])
        why = f" ({type(reason).__name__}: {reason})" if reason else ""
        change = f"after {self.names[before]} failed{why}" if index > before else "again"
        warn_caller(f"{self.names[index]} answers {change}", FallbackWarning)

    def failed(self) -> NVRerankError:
        """The last error, which notes the others."""
        *others, (_, last) = self._errors.items()
        for index, name in enumerate(self.names):
            if name not in self._errors:
                why = "reads no images" if index in self._blind else "failed before"
                last.add_note(f"{name} was not asked, since it {why}")
        for name, error in others:
            last.add_note(f"{name} failed, too: {type(error).__name__}: {error}")
        return last
