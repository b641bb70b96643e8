"""What passes between the loops and the decisions: a request, and what came of it. Pure.

Nothing here shows a key, a query or a passage in its repr.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nvrerank.scorer import Scale

Truncate = Literal["NONE", "END"]


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


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call, or one request of it, cost by the server's count.

    Attributes:
        passages: Passages scored.
        requests: Requests that were answered with scores.
        prompt_tokens: None where the server does not tell.
        total_tokens: None where the server does not tell.
        search_units: What Cohere bills; None where the server does not tell.
    """

    passages: int = 0
    requests: int = 0
    prompt_tokens: int | None = None
    total_tokens: int | None = None
    search_units: int | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """A reply, read: one finite score a passage, in input order."""

    logits: list[float]
    usage: Usage


@dataclass(frozen=True, slots=True)
class ApiProtocol:
    """How one kind of server is spoken to.

    Attributes:
        name: What `protocol=` calls it.
        verb: Last part of the endpoint's path.
        root: The endpoint's path under a base_url that does not end in a version.
        models: Path that lists the models; from the API's version, or from the server's root ("/...").
        health: Likewise, the path that tells whether the server is ready.
        batch: Passages a request when the caller does not say.
        needs_model: Whether a request names its model.
        scale: What its scores are if raw ones are asked for; None: that depends on the server.
        optional: Members of the body that a server may refuse, and that are then left out.
        body: (model, query, passages, truncate, whether raw scores are asked for) -> the request's body.
        read: (passages sent, reply's body) -> scores; raises BadResponseError.
        read_models: Models reply's body -> ids, the base model first; raises BadResponseError.
    """

    name: str
    verb: str
    root: str
    models: str
    health: str
    batch: int
    needs_model: bool
    scale: Scale | None
    optional: frozenset[str]
    body: Callable[[str | None, str, list[str], Truncate | None, bool], dict[str, Any]]
    read: Callable[[int, bytes], Scores]
    read_models: Callable[[bytes], list[str]]
