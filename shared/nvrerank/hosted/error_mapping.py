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
from nvrerank.images import Passage

from .protocols import REPORT
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
        held_back: Whether another try was due and the retry budget was empty.
        now: Seconds since the epoch.
    """

    settings: HostedSettings
    request: ApiRequest[Any]
    attempt: Attempt
    held_back: bool = False
    now: float = 0.0

    def clean(self, words: str) -> str:
        """Somebody else's words, safe to show."""
        return clean(words, secrets=self.settings.credentials.secrets(), texts=self._texts)

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
        return reason_of(reply.body, secrets=secrets, texts=self._texts)

    @property
    def _texts(self) -> list[str]:
        """All that was sent of the call, images in the words of a request."""
        texts = self.request.texts
        return [*texts, *(one.image_url or "" for one in texts if isinstance(one, Passage))]

    def request_id_of(self, reply: Reply) -> str | None:
        """The server's name for the request, if it is safe to show."""
        name = printable(reply.headers.get("nvcf-reqid") or reply.headers.get("x-request-id"))
        return name if name and self.clean(name) == name else None


def error_for(outcome: Outcome, about: ErrorContext) -> NVRerankError:
    """The error for an outcome that is final and no answer."""
    reply = outcome if isinstance(outcome, Reply) else outcome.unreadable
    if isinstance(outcome, Reply):
        error = _of_reply(outcome, about)
    elif reply:
        error = BadResponseError(outcome.words, reason=about.reason_of(reply))
    else:
        error = _of_failure(outcome, about)
        error.__cause__ = about.shown(outcome.cause)
    error.tries = about.attempt.tries
    if reply:
        error.status, error.request_id = reply.status, about.request_id_of(reply)
        error.retry_after = retry_after(reply, about.now)
    return error


def refuses(error: NVRerankError, optional: Iterable[str]) -> bool:
    """Whether a server refused a request for one of these members of its body, which is to be left out."""
    refused = error.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
    return refused and any(re.search(rf"\b{name}\b", error.reason or "") for name in optional)


def _of_failure(failure: Failure, about: ErrorContext) -> NVRerankError:
    words, host = about.clean(failure.words), about.settings.endpoint.host
    match failure.kind:
        case "late":
            return _late(about)
        case "tls":
            return ServiceUnavailableError(
                f"no trusted connection to {host} ({words}): name the certificate authority with verify=PATH "
                "or SSL_CERT_FILE",
                reason=words,
            )
        case "garbled":
            return BadResponseError(f"the reply of {host} {words}: {REPORT}")
        case "invalid":
            return RequestRejectedError(f"the request can't be sent: {words}")
    return ServiceUnavailableError(
        f"{host} can't be reached or broke off ({words}){_after(about)}", reason=words
    )


def _late(about: ErrorContext) -> NVRerankError:
    host, seconds = about.settings.endpoint.host, about.settings.timeout
    return DeadlineExceededError(
        f"no answer from {host} within timeout={seconds:g} s: raise timeout=, or send less"
    )


def _of_reply(reply: Reply, about: ErrorContext) -> NVRerankError:
    status, reason = reply.status, about.reason_of(reply)
    said = f"{about.settings.endpoint.host} answered {status}" + (f": {reason}" if reason else "")
    if status == HTTPStatus.ACCEPTED and about.attempt.polls:
        return _late(about)
    if status // 100 == 3:  # noqa: PLR2004
        return _redirected(reply, about)
    if retired := _retired(status, about, said, reason):
        return retired
    kind, advice = _BY_STATUS.get(status) or _BY_HUNDRED.get(status // 100, _UNEXPECTED)
    if kind is not RequestRejectedError or status == HTTPStatus.NOT_FOUND:
        return kind(said + advice(about), reason=reason)
    too_long, positions = _TOO_LONG.search(reason or ""), about.request.positions
    alone = too_long and len(positions) == 1
    place = 0 if alone else _place(reply.body, reason or "", len(positions))
    index = None if place is None else positions[place]
    return RequestRejectedError(said + (_SHORTEN if too_long else advice(about)), index=index, reason=reason)


def _redirected(reply: Reply, about: ErrorContext) -> NVRerankError:
    target = about.clean(_without_query(reply.headers.get("location", "")))
    return RequestRejectedError(
        f"{about.settings.endpoint.host} redirects to {target[:200] or 'nowhere'}; redirects are not "
        "followed: if that is the right server, give it as base_url"
    )


def _without_query(location: str) -> str:
    try:
        parts = urlsplit(location)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "a malformed address"
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}" if parts.hostname else parts.path


def _retired(status: int, about: ErrorContext, said: str, reason: str | None) -> NVRerankError | None:
    """The error for a model that is no longer served; None: it is not that."""
    name = about.request.model
    known = models.find(name) if name else None
    successor = known.successor if known else None
    missed = status == HTTPStatus.NOT_FOUND and successor and about.settings.endpoint.nvidia
    if status != HTTPStatus.GONE and not missed:
        return None
    advice = f"use {successor}" if successor else "choose another (`nvrerank models` lists them)"
    retired = ModelRetiredError(f"{name or 'the model'} is no longer served: {advice}. {said}", reason=reason)
    retired.successor = successor
    return retired


def _check_model(about: ErrorContext) -> str:
    place = "is served there, and base_url; models() asks"
    place = "is hosted there" if about.settings.endpoint.nvidia else place
    return f". Check that {about.request.model or 'the model'} {place}"


def _check_key(about: ErrorContext) -> str:
    if about.settings.credentials.keyed:
        return ". Check the key"
    if about.settings.credentials.key:
        return ". NVIDIA_API_KEY is sent to NVIDIA's own hosts only: pass api_key= for this one"
    return ". It wants a key: pass api_key="


def _after(about: ErrorContext) -> str:
    held_back = "; not tried again, as too many calls are failing" if about.held_back else ""
    return f" after {about.attempt.tries} tr{'y' if about.attempt.tries == 1 else 'ies'}{held_back}"


_SHORTEN = ". Shorten the passage, let truncate='END' cut it, or read it in parts by Windowed"
_Remedy = tuple[type[NVRerankError], Callable[[ErrorContext], str]]
_BY_STATUS: dict[int, _Remedy] = {
    HTTPStatus.UNAUTHORIZED: (AuthenticationError, _check_key),
    HTTPStatus.PAYMENT_REQUIRED: (AuthenticationError, lambda _: ". The key's credits are used up"),
    HTTPStatus.FORBIDDEN: (AuthenticationError, _check_key),
    HTTPStatus.NOT_FOUND: (RequestRejectedError, _check_model),
    HTTPStatus.REQUEST_TIMEOUT: (ServiceUnavailableError, _after),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        RequestRejectedError,
        lambda _: ". The request is too big: lower max_batch_size",
    ),
    HTTPStatus.TOO_MANY_REQUESTS: (RateLimitError, _after),
}
_BY_HUNDRED: dict[int, _Remedy] = {
    4: (RequestRejectedError, lambda _: ""),
    5: (ServiceUnavailableError, _after),
}
_UNEXPECTED: _Remedy = (BadResponseError, lambda _: f", not 200 with scores: {REPORT}")


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
