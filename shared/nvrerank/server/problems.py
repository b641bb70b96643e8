"""From what went wrong to a status and a body that each protocol's clients read. Pure.

`detail` is a NIM's (and FastAPI's), `message` Cohere's, `error` TEI's. No body quotes a text or a key.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from nvrerank.errors import (
    InvalidArgumentError,
    NVRerankError,
    RequestRejectedError,
    ServiceUnavailableError,
)
from nvrerank.results import Ranked

from .schemas import Question

_MOST = 20  # of a request's errors; 512 blank passages need not be named each
_TOO_LONG = "Input length exceeds maximum allowed token size"


class Refusal(Exception):  # noqa: N818  # it is an answer
    """An answer other than scores.

    Args:
        status: Its HTTP status.
        reason: What it is counted as; one of ours.
        detail: A sentence, or FastAPI's records of type, place and message.
        retry_after: Seconds that the caller is asked to wait.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str | list[dict[str, Any]],
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.status, self.reason, self.detail = status, reason, detail
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, Any]:
        """JSON in which clients of all three protocols find words."""
        words = self.detail if isinstance(self.detail, str) else _in_words(self.detail)
        return {"detail": self.detail, "message": words, "error": words, "error_type": self.reason}

    @property
    def headers(self) -> dict[str, str]:
        """What else the caller is told."""
        told = {} if self.retry_after is None else {"retry-after": str(math.ceil(self.retry_after))}
        return told | ({"www-authenticate": "Bearer"} if self.status == HTTPStatus.UNAUTHORIZED else {})


def invalid(errors: Iterable[Mapping[str, Any]]) -> Refusal:
    """A request that does not fit its protocol, from pydantic's errors, without what they quote."""
    told = [{"type": one["type"], "loc": list(one["loc"]), "msg": one["msg"]} for one in errors]
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", told[:_MOST])


def wrong_model() -> Refusal:
    """A model that is not served here."""
    return _at(["model"], "this model is not served here: GET /v1/models lists what is", "value_error")


def too_long(question: Question, ranking: Iterable[Ranked], *, query: bool) -> Refusal | None:
    """What was cut although the caller asked that nothing is; None: nothing was.

    Args:
        question: What was asked.
        ranking: What came of it.
        query: Whether the query was not read to its end.
    """
    if question.cut:
        return None
    if query:
        return _at(["query"], f"{_TOO_LONG}: the query alone is too long", "too_long")
    for index in sorted(one.index for one in ranking if one.truncated):
        words = f"{_TOO_LONG}: query and passage together; truncate cuts the passage's end"
        return _at([question.field, index], words, "too_long")
    return None


def failed(error: NVRerankError, question: Question) -> Refusal:
    """What a scorer raised; of errors that may quote a text only the kind is told."""
    if isinstance(error, ServiceUnavailableError):
        wait = 1.0 if error.retry_after is None else error.retry_after
        return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "busy", str(error), retry_after=wait)
    if isinstance(error, InvalidArgumentError) and question.instruction is not None:
        return _at(["instruction"], "this model has no place for an instruction", "value_error")
    if type(error) is RequestRejectedError:  # its kinds are about a server behind this one, and its key
        index = () if error.index is None else (error.index,)
        return _at(
            (question.field, *index), "the scorer refuses it: " + Exception.__str__(error), "value_error"
        )
    kind = type(error).__name__
    return Refusal(
        HTTPStatus.INTERNAL_SERVER_ERROR, "failed", f"the scorer failed ({kind}): see the server's log"
    )


def _at(place: Sequence[str | int], words: str, kind: str) -> Refusal:
    detail = [{"type": kind, "loc": ["body", *place], "msg": words}]
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail)


def _in_words(detail: Sequence[Mapping[str, Any]]) -> str:
    places = (f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in detail[:3])
    return "; ".join(places) + ("; ..." if len(detail) > 3 else "")  # noqa: PLR2004
