"""Errors carry what a caller needs to decide, and are caught by what can be done about them."""

from __future__ import annotations

import pickle

import pytest

import nvrerank
from nvrerank import NVRerankError, RequestRejectedError, ServiceUnavailableError


@pytest.mark.parametrize(
    ("name", "parent"),
    [
        ("MissingKeyError", "NVRerankError"),
        ("MissingExtraError", "NVRerankError"),
        ("ModelLoadError", "NVRerankError"),
        ("InvalidArgumentError", "NVRerankError"),
        ("ScorerClosedError", "NVRerankError"),
        ("RequestRejectedError", "NVRerankError"),
        ("AuthenticationError", "RequestRejectedError"),
        ("ModelRetiredError", "RequestRejectedError"),
        ("ServiceUnavailableError", "NVRerankError"),
        ("RateLimitError", "ServiceUnavailableError"),
        ("DeadlineExceededError", "ServiceUnavailableError"),
        ("BadResponseError", "NVRerankError"),
        ("ScoringError", "NVRerankError"),
    ],
)
def test_each_error_stands_under_what_the_caller_can_do(name, parent):
    assert issubclass(getattr(nvrerank, name), getattr(nvrerank, parent))


def test_an_error_is_also_the_one_that_python_has_for_it():
    assert issubclass(nvrerank.MissingExtraError, ImportError)
    assert issubclass(nvrerank.ScorerClosedError, RuntimeError)
    assert issubclass(nvrerank.InvalidArgumentError, ValueError)


def test_an_error_carries_status_reason_request_id_tries_and_retry_after():
    error = ServiceUnavailableError("m", status=503, reason="full", request_id="r1", tries=4, retry_after=2.5)
    carried = (str(error), error.status, error.reason, error.request_id, error.tries, error.retry_after)
    assert carried == ("m", 503, "full", "r1", 4, 2.5)


def test_an_error_survives_the_way_from_another_process():
    error = pickle.loads(pickle.dumps(RequestRejectedError("too long", index=7, status=422)))
    assert (str(error), error.index, error.status) == ("passages[7]: too long", 7, 422)
    assert isinstance(error, NVRerankError)
