"""From a final outcome to the error that tells the caller what to do. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from nvrerank import models
from nvrerank.errors import (
    AuthenticationError,
    BadResponseError,
    DeadlineExceededError,
    ModelRetiredError,
    NVRerankError,
    RateLimitError,
    RequestRejectedError,
    ServiceUnavailableError,
)

from .redaction import clean, printable, reason_of
from .retry import ApiRequest, Attempt, Failure, Outcome, Reply, retry_after
from .settings import HostedSettings

_TOO_LONG = re.compile(
    r"exceeds maximum allowed|maximum context length|too long|too many tokens|must have less than",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"\b(?:passages?|documents?)(?:\W{0,2}(?:at )?index)?\W{0,3}(\d{1,6})\b|\b(?:texts|inputs)\[(\d{1,6})\]",
    re.IGNORECASE,
)
_LISTS = ("passages", "documents", "texts")


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """What a message needs to know, and what it must not show; made only for an error.

    Attributes:
        settings: The scorer's.
        request: The request.
        attempt: Its last attempt.
        unreadable: The reply that the protocol could not read.
        held_back: Whether another try was due and the retry budget was empty.
        now: Seconds since the epoch.
    """

    settings: HostedSettings
    request: ApiRequest[Any]
    attempt: Attempt
    unreadable: Reply | None = None
    held_back: bool = False
    now: float = 0.0

    @property
    def host(self) -> str:
        """Host and port."""
        return self.settings.endpoint.host

    def clean(self, words: str) -> str:
        """Somebody else's words, safe to show."""
        return clean(words, secrets=self.settings.credentials.secrets(), texts=self.request.texts)

    def shown(self, cause: BaseException | None) -> BaseException | None:
        """A cause, if all of its words are safe to show."""
        link = cause
        while link is not None:
            if self.clean(str(link)) != str(link):
                return None
            link = link.__cause__ or link.__context__
        return cause

    def reason_of(self, reply: Reply) -> str | None:
        """Why the server refused, in its words, safe to show."""
        secrets = self.settings.credentials.secrets()
        return reason_of(reply.body, secrets=secrets, texts=self.request.texts)

    def request_id_of(self, reply: Reply) -> str | None:
        """The server's name for the request, if it is safe to show."""
        name = printable(reply.headers.get("nvcf-reqid") or reply.headers.get("x-request-id"))
        return name if name and self.clean(name) == name else None


def error_for(outcome: Outcome, about: ErrorContext) -> NVRerankError:
    """The error for an outcome that is final and no answer."""
    if isinstance(outcome, Reply):
        return _with_facts(_of_reply(outcome, about), outcome, about)
    if about.unreadable is not None:
        error = BadResponseError(outcome.words, reason=about.reason_of(about.unreadable))
        return _with_facts(error, about.unreadable, about)
    failure = _of_failure(outcome, about)
    failure.__cause__ = about.shown(outcome.cause)
    return failure


def refuses(error: NVRerankError, optional: Iterable[str]) -> bool:
    """Whether a server refused a request for one of these members of its body, which is to be left out."""
    refused = error.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
    return refused and any(re.search(rf"\b{name}\b", error.reason or "") for name in optional)


def _with_facts(error: NVRerankError, reply: Reply, about: ErrorContext) -> NVRerankError:
    error.status = reply.status
    error.request_id = about.request_id_of(reply)
    error.tries = about.attempt.tries
    error.retry_after = retry_after(reply, about.now)
    return error


def _of_failure(failure: Failure, about: ErrorContext) -> NVRerankError:
    words = about.clean(failure.words)
    host, tries = about.host, about.attempt.tries
    if failure.kind == "late":
        return _late(about)
    if failure.kind == "tls":
        return ServiceUnavailableError(
            f"no trusted connection to {host} ({words}): name the certificate authority with verify=PATH or "
            "SSL_CERT_FILE",
            reason=words,
            tries=tries,
        )
    if failure.kind == "garbled":
        return BadResponseError(
            f"the reply of {host} {words}: report it to whoever runs the server", tries=tries
        )
    if failure.kind == "invalid":
        return RequestRejectedError(f"the request can't be sent: {words}", tries=tries)
    return ServiceUnavailableError(
        f"{host} can't be reached or broke off ({words}){_after(about)}", reason=words, tries=tries
    )


def _late(about: ErrorContext) -> NVRerankError:
    return DeadlineExceededError(
        f"no answer from {about.host} within timeout={about.settings.timeout:g} s: raise timeout=, or send "
        "less",
        tries=about.attempt.tries,
    )


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A reply that is no answer, and its beginning of a message."""

    reply: Reply
    about: ErrorContext
    reason: str | None
    because: str


def _of_reply(reply: Reply, about: ErrorContext) -> NVRerankError:
    reason = about.reason_of(reply)
    because = f"{about.host} answered {reply.status}" + (f": {reason}" if reason else "")
    refusal = _Refusal(reply, about, reason, because)
    kind = _BY_STATUS.get(reply.status) or _BY_HUNDRED.get(reply.status // 100, _unexpected)
    return kind(refusal)


def _accepted(refusal: _Refusal) -> NVRerankError:
    """A 202: still polled when the deadline came, or nothing to poll."""
    return _late(refusal.about) if refusal.about.attempt.polls else _unexpected(refusal)


def _unexpected(refusal: _Refusal) -> NVRerankError:
    return BadResponseError(
        f"{refusal.because}, not 200 with scores: report it to whoever runs the server", reason=refusal.reason
    )


def _unavailable(refusal: _Refusal) -> NVRerankError:
    return ServiceUnavailableError(refusal.because + _after(refusal.about), reason=refusal.reason)


def _limited(refusal: _Refusal) -> NVRerankError:
    return RateLimitError(refusal.because + _after(refusal.about), reason=refusal.reason)


def _too_big(refusal: _Refusal) -> NVRerankError:
    if _TOO_LONG.search(refusal.reason or ""):
        return _rejected(refusal)
    return RequestRejectedError(
        f"{refusal.because}. The request is too big: lower max_batch_size", reason=refusal.reason
    )


def _unauthorized(refusal: _Refusal) -> NVRerankError:
    about = refusal.about
    if refusal.reply.status == HTTPStatus.PAYMENT_REQUIRED:
        advice = "The key's credits are used up"
    elif about.settings.credentials.keyed:
        advice = "Check the key"
    elif about.settings.credentials.key:
        advice = "NVIDIA_API_KEY is sent to NVIDIA's own hosts only: pass api_key= for this one"
    else:
        advice = "It wants a key: pass api_key="
    return AuthenticationError(f"{refusal.because}. {advice}", reason=refusal.reason)


def _redirected(refusal: _Refusal) -> NVRerankError:
    about = refusal.about
    target = about.clean(_without_query(refusal.reply.headers.get("location", "")))
    return RequestRejectedError(
        f"{about.host} redirects to {target[:200] or 'nowhere'}; redirects are not followed: if "
        "that is the right server, give it as base_url"
    )


def _without_query(location: str) -> str:
    try:
        parts = urlsplit(location)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "a malformed address"
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}" if parts.hostname else parts.path


def _not_served(refusal: _Refusal) -> NVRerankError:
    about = refusal.about
    name = about.request.model or "the model"
    known = models.find(name)
    successor = known.successor if known else None
    if refusal.reply.status == HTTPStatus.GONE or (successor and about.settings.endpoint.nvidia):
        advice = f"use {successor}" if successor else "choose another (`nvrerank models` lists them)"
        retired = ModelRetiredError(
            f"{about.request.model or 'the model'} is no longer served: {advice}. {refusal.because}",
            reason=refusal.reason,
        )
        retired.successor = successor
        return retired
    place = (
        "is hosted there"
        if about.settings.endpoint.nvidia
        else "is served there, and base_url; models() asks"
    )
    return RequestRejectedError(f"{refusal.because}. Check that {name} {place}", reason=refusal.reason)


_SHORTEN = ". Shorten the passage, let truncate='END' cut it, or read it in parts by Windowed"


def _rejected(refusal: _Refusal) -> NVRerankError:
    reason, positions = refusal.reason or "", refusal.about.request.positions
    too_long = bool(_TOO_LONG.search(reason))
    advice = _SHORTEN if too_long else ""
    place = 0 if too_long and len(positions) == 1 else _place(refusal.reply.body, reason, len(positions))
    index = None if place is None else positions[place]
    return RequestRejectedError(refusal.because + advice, index=index, reason=refusal.reason)


_BY_STATUS: dict[int, Callable[[_Refusal], NVRerankError]] = {
    HTTPStatus.ACCEPTED: _accepted,
    HTTPStatus.UNAUTHORIZED: _unauthorized,
    HTTPStatus.PAYMENT_REQUIRED: _unauthorized,
    HTTPStatus.FORBIDDEN: _unauthorized,
    HTTPStatus.NOT_FOUND: _not_served,
    HTTPStatus.GONE: _not_served,
    HTTPStatus.REQUEST_TIMEOUT: _unavailable,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _too_big,
    HTTPStatus.TOO_MANY_REQUESTS: _limited,
}
_BY_HUNDRED = {3: _redirected, 4: _rejected, 5: _unavailable}


def _place(body: bytes, reason: str, count: int) -> int | None:
    """Which passage of the request the server names, if it does."""
    named = _PLACE.search(reason)
    places = [*_located(body), *([int(named[1] or named[2])] if named else [])]
    return next((place for place in places if 0 <= place < count), None)


def _located(body: bytes) -> list[int]:
    """Passages that FastAPI's `detail[].loc` names, such as ["body", "passages", 3, "text"]."""
    try:
        detail = json.loads(body)["detail"]
        paths = [one["loc"] for one in detail]
        pairs = [pair for path in paths for pair in pairwise(path)]
    except (ValueError, RecursionError, TypeError, KeyError):
        return []
    return [place for name, place in pairs if name in _LISTS and type(place) is int]


def _after(about: ErrorContext) -> str:
    held_back = "; not tried again, as too many calls are failing" if about.held_back else ""
    return f" after {about.attempt.tries} tr{'y' if about.attempt.tries == 1 else 'ies'}{held_back}"
