"""When a scorer that fails is left alone, and when it is tried again. Pure: it is told the time."""

from __future__ import annotations

from typing import Literal

Admission = Literal["call", "trial"]


class Circuit:
    """A circuit breaker: closed, open, half open (Nygard, "Release It!", 2007). For one thread at a time.

    Args:
        failures: Failed calls in a row after which it opens.
        retry_after: Seconds that it then stays open; then one call at a time is let through as a trial.
    """

    def __init__(self, failures: int, retry_after: float) -> None:
        self._failures = failures
        self._retry_after = retry_after
        self._in_a_row = 0
        self._until = 0.0
        self._on_trial = False

    def admit(self, now: float) -> Admission | None:
        """How a call goes through; None: it does not."""
        if self._in_a_row < self._failures:
            return "call"
        if self._on_trial or now < self._until:
            return None
        self._on_trial = True
        return "trial"

    def settle(self, admission: Admission, now: float, *, failed: bool | None) -> None:
        """Takes note of how a call ended.

        Args:
            admission: How it went through.
            now: The time.
            failed: None: it was cancelled, or ended in a way that says nothing about the scorer.
        """
        if admission == "trial":
            self._on_trial = False
        if failed:
            self._in_a_row += 1
            self._until = now + self._retry_after
        elif failed is False:
            self._in_a_row = 0
