"""What follows each try."""

from dataclasses import replace

import pytest

from nvrerank.hosted.retry import Attempt, Failure, Reply, RetryPolicy, backoff, retry_after

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
FIRST = Attempt("http://h", b"{}")


def reply(status, **headers):
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"")


def following(outcome, attempt=FIRST, *, retries=3, polls=False, remaining=60.0, chance=1.0):
    policy = RetryPolicy(retries, polls=polls)
    return policy.following(attempt, outcome, remaining=remaining, chance=chance, now=NOW)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_status_that_may_mend_is_tried_again(status):
    assert following(reply(status)) == replace(FIRST, pause=0.25, tries=2)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 302, 400, 401, 404, 410, 413, 422, 501, 505, 511])
def test_any_other_status_is_final(status):
    assert following(reply(status)) is None


def test_a_broken_connection_is_tried_again_and_distrust_is_not():
    assert following(Failure("broken", ""))
    assert not any(following(Failure(kind, "")) for kind in ("late", "tls", "garbled", "invalid"))


def test_json_that_stops_half_way_is_tried_again_once():
    again = following(Failure("cut", ""))
    assert again == replace(FIRST, pause=0.25, tries=2, cut=True)
    assert following(Failure("cut", ""), again) is None
    assert following(reply(503), again) == replace(FIRST, pause=0.5, tries=3, cut=True)
    assert following(Failure("cut", ""), retries=0) is None


def test_the_last_retry_is_the_last():
    assert following(reply(503), replace(FIRST, tries=3)).tries == 4
    assert following(reply(503), replace(FIRST, tries=4)) is None
    assert following(reply(503), retries=0) is None


def test_the_pause_doubles_up_to_eight_seconds():
    assert [backoff(tries, 1.0) for tries in (1, 2, 3, 4, 5, 6, 7, 99_999)] == [0.25, 0.5, 1, 2, 4, 8, 8, 8]
    assert backoff(3, 0.0) == 0
    assert backoff(3, 0.25) == 0.25


def test_a_pause_that_does_not_fit_the_deadline_is_not_begun():
    assert following(reply(503, retry_after="5"), remaining=5.5).pause == 5
    assert following(reply(503, retry_after="5"), remaining=5) is None
    assert following(reply(503), remaining=0.2) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after_ms": "1500"}, 1.5),
        ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5),
        ({"retry_after_ms": "soon", "retry_after": "9"}, 9),
        ({"retry_after": "0"}, 0),
        ({"retry_after": " 2.5 "}, 2.5),
        ({"retry_after": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30),
        ({"retry_after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0),
        ({}, None),
        *(
            ({"retry_after": nonsense}, None)
            for nonsense in (
                "",
                "-1",
                "nan",
                "inf",
                "1e9",
                "0x10",
                "٣",
                "soon",
                "9" * 400,
                "Fri, 99 Jan 2027",
            )
        ),
    ],
)
def test_the_server_is_asked_how_long_and_nonsense_is_not_heard(headers, seconds):
    assert retry_after(reply(503, **headers), NOW) == seconds


def test_a_202_of_nvidias_host_is_polled_at_a_decent_pace():
    attempt, pauses = FIRST, []
    for _ in range(6):
        attempt = following(reply(202, nvcf_reqid="abc-1"), attempt, polls=True)
        pauses.append(attempt.pause)
    assert pauses == [0.25, 0.5, 1, 2, 2, 2]
    assert (attempt.url, attempt.body) == ("https://api.nvcf.nvidia.com/v2/nvcf/pexec/status/abc-1", None)
    assert attempt.tries == 1


def test_a_poll_that_fails_is_tried_again_as_a_poll():
    polled = following(reply(202, nvcf_reqid="abc-1"), polls=True)
    again = following(reply(503), polled, polls=True)
    assert (again.url, again.tries) == (polled.url, 2)


def test_a_202_of_anybody_else_or_without_an_id_is_final():
    assert following(reply(202, nvcf_reqid="abc-1")) is None
    assert following(reply(202), polls=True) is None
    assert following(reply(202, nvcf_reqid="../../x"), polls=True) is None
