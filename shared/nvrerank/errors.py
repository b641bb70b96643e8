"""What can go wrong, named by what the caller can do about it.

    NVRerankError
    ├── set it up
    │   ├── MissingKeyError            a hosted model needs a key (also a ValueError)
    │   ├── MissingExtraError          a package is not installed (also an ImportError)
    │   ├── ModelLoadError             a checkpoint can't be used; names file and tensor
    │   ├── InvalidArgumentError       a scorer's argument proves wrong at its first use (also a ValueError)
    │   └── ScorerClosedError          a scorer was closed (also a RuntimeError)
    ├── fix the call
    │   └── RequestRejectedError       the request itself is wrong; `index` names the passage
    │       ├── AuthenticationError
    │       └── ModelRetiredError      `successor` names the model to use instead
    ├── try later
    │   └── ServiceUnavailableError
    │       ├── RateLimitError
    │       └── DeadlineExceededError
    └── report it
        ├── BadResponseError           scores that are not one finite number a passage
        └── ScoringError               a scorer raised something else while it scored

A bad argument stays a `ValueError`, one of the wrong type a `TypeError`.
"""

from __future__ import annotations

from collections.abc import Callable


class NVRerankError(Exception):
    """Base of every error of this package.

    Args:
        message: What happened and what to do next.
        index: The caller's own index of the passage at fault, where one is.
        status: HTTP status, where there was one.
        reason: The server's own words, at most 500 characters, never the key, the query or a passage.
        request_id: The server's name for the request.
        tries: How many times the request was sent.
        retry_after: Seconds the server asked to wait.
    """

    def __init__(
        self,
        message: str,
        *,
        index: int | None = None,
        status: int | None = None,
        reason: str | None = None,
        request_id: str | None = None,
        tries: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.index = index
        self.status = status
        self.reason = reason
        self.request_id = request_id
        self.tries = tries
        self.retry_after = retry_after


class MissingKeyError(NVRerankError, ValueError):
    """A hosted model was asked for and there is no key; also a `ValueError`, as in the official class."""


class MissingExtraError(NVRerankError, ImportError):
    """An optional dependency is not installed; the message holds the pip command."""


class ModelLoadError(NVRerankError):
    """A checkpoint can't be used as it is; the message names the file and the tensor."""


class InvalidArgumentError(NVRerankError, ValueError):
    """An argument of a scorer proves wrong when it is first used; also a `ValueError`."""


class ScorerClosedError(NVRerankError, RuntimeError):
    """A scorer is used that was closed; a new one is to be made."""


class RequestRejectedError(NVRerankError):
    """The request is wrong and would be wrong again; the message opens with `index`, where there is one."""

    def reindex(self, find: Callable[[int], int | None]) -> None:
        """Puts `index` into the caller's terms: `find` gives theirs for ours; None: not known."""
        if self.index is not None:
            self.index = find(self.index)

    def __str__(self) -> str:
        where = "" if self.index is None else f"passages[{self.index}]: "
        return where + super().__str__()


class AuthenticationError(RequestRejectedError):
    """The key is missing, wrong or not entitled (401, 402, 403)."""


class ModelRetiredError(RequestRejectedError):
    """The model is no longer served; the message names its successor.

    Attributes:
        successor: The id of the model to use instead; None: none is known.
    """

    successor: str | None = None


class ServiceUnavailableError(NVRerankError):
    """The service did not answer usefully, although the request was tried again."""


class RateLimitError(ServiceUnavailableError):
    """The service asked to slow down (429) for longer than the deadline allows, or `Limited` had no turn."""


class DeadlineExceededError(ServiceUnavailableError):
    """The call's own `timeout` passed."""


class BadResponseError(NVRerankError):
    """What came back is not one finite score for each passage."""


class ScoringError(NVRerankError):
    """A scorer raised what is no error of this package; `__cause__` is what it raised."""
