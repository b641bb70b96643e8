"""What follows each try: another one, a poll, or nothing. Pure: opens no connection, draws no chance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from .endpoint import status_url
from .messages import Outcome, Reply, Request

AGAIN = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that another try may mend."""

ACCEPTED = 202

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 8.0
_FIRST_POLL = 0.25
_LONGEST_POLL = 2.0
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Turn:
    """A request to send, after a pause.

    Attributes:
        request: What to send.
        pause: Seconds to wait before.
        tries: How many times the request was sent after this turn.
        polls: How often its answer was asked for after this turn.
        cut: Whether an answer before this turn was JSON that stopped half way.
    """

    request: Request
    pause: float = 0.0
    tries: int = 1
    polls: int = 0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """How long a caller is patient.

    Attributes:
        max_retries: Tries after the first.
        polls: Whether a 202 is polled: on NVIDIA's host only.
    """

    max_retries: int
    polls: bool

    def next_turn(
        self, turn: Turn, outcome: Outcome, *, remaining: float, chance: float, now: float
    ) -> Turn | None:
        """What to do after a turn; None: its outcome is final.

        Args:
            turn: The turn.
            outcome: What came of it.
            remaining: Seconds left of the call's deadline.
            chance: 0..1, the share of the longest back-off to wait.
            now: Seconds since the epoch.
        """
        following = self._poll(turn, outcome, now)
        if following is None and turn.tries <= self.max_retries and may_try_again(outcome, turn):
            pause = retry_after(outcome, now)
            if pause is None:
                pause = backoff(turn.tries, chance)
            following = Turn(turn.request, pause, turn.tries + 1, turn.polls, turn.cut or _is_cut(outcome))
        return following if following and following.pause < remaining else None

    def _poll(self, turn: Turn, outcome: Outcome, now: float) -> Turn | None:
        """The next question for an answer that is not there yet."""
        if not (self.polls and isinstance(outcome, Reply) and outcome.status == ACCEPTED):
            return None
        url = turn.request.url if turn.polls else status_url(outcome.headers.get("nvcf-reqid", ""))
        if url is None:
            return None
        asked = retry_after(outcome, now) or 0.0
        pause = max(asked, min(_LONGEST_POLL, _FIRST_POLL * 2**turn.polls))
        return Turn(Request(url), pause, turn.tries, turn.polls + 1, turn.cut)


def may_try_again(outcome: Outcome, turn: Turn) -> bool:
    """Whether the same request may fare better; JSON that stops half way a second time will again."""
    if isinstance(outcome, Reply):
        return outcome.status in AGAIN
    return outcome.kind == "broken" or (outcome.kind == "cut" and not turn.cut)


def _is_cut(outcome: Outcome) -> bool:
    return not isinstance(outcome, Reply) and outcome.kind == "cut"


def backoff(tries: int, chance: float) -> float:
    """Full jitter: anything up to 0.25 s x 2^n, at most 8 s, n counted from 0."""
    return chance * min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(tries - 1, 16))


def retry_after(outcome: Outcome, now: float) -> float | None:
    """Seconds the server asks to wait: `retry-after-ms`, else `Retry-After` in seconds or as a date.

    None: it asks nothing, or nonsense.
    """
    if not isinstance(outcome, Reply):
        return None
    milliseconds = _seconds(outcome.headers, "retry-after-ms")
    if milliseconds is not None:
        return milliseconds / 1000
    seconds = _seconds(outcome.headers, "retry-after")
    return seconds if seconds is not None else _until(outcome.headers.get("retry-after", ""), now)


def _seconds(headers: Mapping[str, str], name: str) -> float | None:
    text = headers.get(name, "").strip()
    return float(text) if _SECONDS.fullmatch(text) else None


def _until(date: str, now: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date.strip()).timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
