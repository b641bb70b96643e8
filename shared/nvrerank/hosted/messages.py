"""What passes between the loops and the decisions: a request, and what came of it. Pure.

Nothing here shows a key, a query or a passage in its repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; without a body it is a GET."""

    url: str
    body: bytes | None = field(default=None, repr=False)

    @property
    def method(self) -> str:
        """POST with a body, else GET."""
        return "GET" if self.body is None else "POST"


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
            deadline passed; "tls": no trust; "garbled": too big or not readable; "cut": whole by its
            framing, but JSON that stops half way; "invalid": what was to be sent is no valid HTTP.
        words: What the transport said.
        cause: What was raised, if nobody foresaw it; it holds nothing of the exchange.
    """

    kind: Literal["broken", "late", "tls", "garbled", "cut", "invalid"]
    words: str = field(repr=False)  # it may quote the server, who may quote the key
    cause: Exception | None = field(default=None, repr=False)


Outcome = Reply | Failure
