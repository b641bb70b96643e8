"""What a server is told at its start, checked there."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from nvrerank._checks import checked_integer

MEBIBYTE = 1 << 20
MAX_PASSAGES = 512
"""A request's; a NIM's own bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How a server behaves; the defaults are those of `nvrerank serve`.

    Attributes:
        api_key: What callers send as `Authorization: Bearer ...`; None: nobody is asked.
        model_names: What requests may call the model, the first of them in `GET /v1/models`; none: the
            scorer's name, without the folders before it.
        batch_tokens: About how many tokens of different requests go into one call of the model; fewer if the
            model takes more than half a second for them. A request that has more is a call by itself.
        max_wait_ms: How long an idle model waits for more requests, in milliseconds.
        max_queued_passages: With more passages than these waiting, requests are refused with 503.
        max_queue_seconds: Likewise with more than the model did of late in so many seconds.
        threads: Calls of the model at once; None: 2 for a scorer that packs requests, so that one is
            tokenised while the other is computed, 16 for one that waits for another server.
        max_body_bytes: The largest body that is read.
        body_seconds: How long a body may take to arrive.
        cors_origins: Other pages that may call this server from a browser, such as "https://example.org".

    Raises:
        TypeError: A value is of the wrong type.
        ValueError: A value is out of range.
    """

    api_key: str | None = field(default=None, repr=False)
    model_names: Sequence[str] = ()
    batch_tokens: int = 8192
    max_wait_ms: float = 3.0
    max_queued_passages: int = 2048
    max_queue_seconds: float = 20.0
    threads: int | None = None
    max_body_bytes: int = 32 * MEBIBYTE
    body_seconds: float = 30.0
    cors_origins: Sequence[str] = ()

    def __post_init__(self) -> None:
        checked_integer("batch_tokens", self.batch_tokens, least=1)
        checked_integer("max_queued_passages", self.max_queued_passages, least=MAX_PASSAGES)
        checked_integer("max_body_bytes", self.max_body_bytes, least=1)
        if self.threads is not None:
            checked_integer("threads", self.threads, least=1)
        for name, least in (("max_wait_ms", 0.0), ("body_seconds", 0.001), ("max_queue_seconds", 0.001)):
            if not (math.isfinite(value := getattr(self, name)) and value >= least):
                raise ValueError(f"{name} must be {least:g} or more, not {value:g}")
        if self.api_key is not None:
            object.__setattr__(self, "api_key", _checked_key(self.api_key))


def check_reach(host: str, *, keyed: bool, no_auth: bool) -> None:
    """Whether a server may listen there: beyond this machine only with a key, or without one knowingly.

    Raises:
        ValueError: Others reach it and nobody said who may; or a key and `no_auth` contradict each other.
    """
    if keyed and no_auth:
        raise ValueError("an api_key and no_auth contradict each other: give one of them")
    if not (keyed or no_auth or _is_loopback(host)):
        raise ValueError(
            f"others can reach {host or 'all addresses'}: give a key that callers must send (--api-key KEY, "
            "or --no-auth if anybody may call it; api_key or no_auth in Python)"
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # some other machine's name, or this one's to the world
        return False


def _checked_key(key: str) -> str:
    stripped = key.strip()
    if not stripped or not stripped.isascii() or not stripped.isprintable() or " " in stripped:
        raise ValueError("api_key must be visible ASCII characters without a space, as a header holds them")
    return stripped
