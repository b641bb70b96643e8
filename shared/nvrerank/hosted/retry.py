"""What comes of a request, and what follows: another try, a poll, or nothing. Pure: no I/O, no chance.

Nothing here shows a key, a query or a passage in its repr.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Generic, Literal, TypeVar

from .endpoint import status_url

AGAIN = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that another try may mend."""

ACCEPTED = 202

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 8.0
_FIRST_POLL = 0.25
_LONGEST_POLL = 2.0
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApiRequest(Generic[T]):
    """A request, how its answer is read, and what an error about it must know.

    Attributes:
        url: Where to.
        read: The body of an answer of status 200 -> what is wanted; raises BadResponseError.
        body: What to post; None: a GET.
        model: The model it names.
        texts: Its query and passages; never to be shown.
        positions: The caller's indices of its passages.
    """

    url: str
    read: Callable[[bytes], T]
    body: bytes | None = field(default=None, repr=False)
    model: str | None = None
    texts: Sequence[str] = field(default=(), repr=False)
    positions: Sequence[int] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer, of whatever status.

    Attributes:
        status: The HTTP status.
        headers: Lower-case names.
        body: Decoded bytes.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """No complete answer.

    Attributes:
        kind: "broken": refused, reset, cut short, or too slow for the transport; "late": the
            deadline passed; "tls": no trust; "garbled": too big or undecodable; "unreadable": not what
            the protocol says; "cut": JSON that stops half way, though whole by its framing; "invalid": what
            was to be sent is no valid HTTP.
        words: What the transport said.
        cause: What was raised, if nobody foresaw it; it holds nothing of the exchange.
        unreadable: The reply that the protocol could not read.
    """

    kind: Literal["broken", "late", "tls", "garbled", "unreadable", "cut", "invalid"]
    words: str = field(default="", repr=False)  # it may quote the server, who may quote the key
    cause: Exception | None = field(default=None, repr=False)
    unreadable: Reply | None = None


Outcome = Reply | Failure


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request to send, after a pause.

    Attributes:
        url: Where to.
        body: What to post; None: a GET.
        pause: Seconds to wait before.
        tries: How many times the request was sent after this attempt.
        polls: How often its answer was asked for after this attempt.
        cut: Whether an answer before this attempt was JSON that stopped half way.
    """

    url: str
    body: bytes | None = field(default=None, repr=False)
    pause: float = 0.0
    tries: int = 1
    polls: int = 0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a request is sent again.

    Attributes:
        max_retries: Tries after the first.
        polls: Whether a 202 is polled: on NVIDIA's host only.
    """

    max_retries: int
    polls: bool

    def following(
        self, attempt: Attempt, outcome: Outcome, *, remaining: float, chance: float, now: float
    ) -> Attempt | None:
        """What to do after an attempt; None: its outcome is final.

        Args:
            attempt: The attempt.
            outcome: What came of it.
            remaining: Seconds left of the call's deadline.
            chance: 0..1, the share of the longest back-off to wait.
            now: Seconds since the epoch.
        """
        following = self._poll(attempt, outcome, now)
        if following is None and attempt.tries <= self.max_retries and _may_try_again(attempt, outcome):
            pause = retry_after(outcome, now)
            if pause is None:
                pause = backoff(attempt.tries, chance)
            cut = attempt.cut or (isinstance(outcome, Failure) and outcome.kind == "cut")
            following = replace(attempt, pause=pause, tries=attempt.tries + 1, cut=cut)
        return following if following and following.pause < remaining else None

    def _poll(self, attempt: Attempt, outcome: Outcome, now: float) -> Attempt | None:
        """The next question for an answer that is not there yet."""
        if not (self.polls and isinstance(outcome, Reply) and outcome.status == ACCEPTED):
            return None
        url = attempt.url if attempt.polls else status_url(outcome.headers.get("nvcf-reqid", ""))
        if url is None:
            return None
        asked = retry_after(outcome, now) or 0.0
        pause = max(asked, min(_LONGEST_POLL, _FIRST_POLL * 2**attempt.polls))
        return replace(attempt, url=url, body=None, pause=pause, polls=attempt.polls + 1)


def _may_try_again(attempt: Attempt, outcome: Outcome) -> bool:
    """Whether the same request may fare better; JSON that stops half way a second time will again."""
    if isinstance(outcome, Reply):
        return outcome.status in AGAIN
    return outcome.kind == "broken" or (outcome.kind == "cut" and not attempt.cut)


def backoff(tries: int, chance: float) -> float:
    """Full jitter: anything up to 0.25 s x 2^n, at most 8 s, n counted from 0."""
    return chance * min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(tries - 1, 16))


def retry_after(outcome: Outcome, now: float) -> float | None:
    """Seconds the server asks to wait: `retry-after-ms`, else `Retry-After` in seconds or as a date.

    None: it asks nothing, or nonsense.
    """
    if not isinstance(outcome, Reply):
        return None
    asked = ""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        asked = outcome.headers.get(name, "").strip()
        if _SECONDS.fullmatch(asked):
            return float(asked) / unit
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
