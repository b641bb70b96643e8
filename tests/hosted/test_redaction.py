"""A server's words are shown without the key, the query, a passage or a control character."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nvrerank.hosted.redaction import MOST, clean, printable, reason_of

KEY = "sk-a-key-of-no-usual-form"
QUERY = "who wrote it?"
PASSAGE = "The committee met on a Tuesday and wrote nothing down, as was its habit."


def reason(body, secrets=(KEY,), texts=(QUERY, PASSAGE)):
    return reason_of(
        body if isinstance(body, bytes) else json.dumps(body).encode(), secrets=secrets, texts=texts
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"detail": "queue is full"}, "queue is full"),
        ({"title": "Gone", "status": 410}, "Gone"),
        ({"title": "Gone", "detail": "end of life"}, "end of life"),
        ({"message": "no"}, "no"),
        ({"error": "no"}, "no"),
        ({"error": {"message": "no", "code": 3}}, "no"),
        ({"detail": [{"loc": ["body", "passages", 3, "text"], "msg": "too short", "input": PASSAGE}]},
         "body.passages.3.text: too short"),
        ({"detail": [{"msg": "one"}, {"msg": "two"}]}, "one; two"),
        ("no", "no"),
        (b"404 page not found", "404 page not found"),
        (b"<html>\n<h1>502</h1>\n</html>", "<html>\\n<h1>502</h1>\\n</html>"),
        (b"x" * 1000, "x" * 300),
        ({"detail": "y" * 1000}, "y" * MOST),
        ({"unknown": "member"}, None),
        (b"", None),
        ([], None),
        ({"detail": None, "title": 7}, None),
    ],
)  # fmt: skip
def test_the_reason_is_read_from_the_usual_places(body, said):
    assert reason(body, secrets=(), texts=()) == said


def test_control_characters_are_escaped():
    assert (
        reason({"detail": "\x1b[31mred\x1b[0m\r\n\u202eback\x00"})
        == "\\x1b[31mred\\x1b[0m\\r\\n\\u202eback\\x00"
    )


@pytest.mark.parametrize("where", ["bad key {}", "Bearer {}", "{}{}", "x{}x"])
@pytest.mark.parametrize("key", [KEY, "nvapi-0123456789abcdefghij"])
def test_the_key_is_removed(where, key):
    said = reason({"detail": where.format(key, key)}, secrets=(key,))
    assert key not in said
    assert "[key]" in said


def test_a_key_of_nvidias_form_is_removed_whosever_it_is():
    assert reason({"detail": "nvapi-somebody_elses-Key is unknown"}) == "[key] is unknown"


def test_a_long_reason_does_not_end_in_half_a_key():
    for length in range(MOST - 40, MOST + 5):
        assert KEY[:10] not in reason({"detail": "y" * length + " " + KEY})


@pytest.mark.parametrize(
    "said",
    [
        f"can't rank {PASSAGE!r}",
        f"too long: {PASSAGE[:30]}...",
        f"near '{PASSAGE[20:44]}'",
        f"query was {QUERY}",
        PASSAGE,
    ],
)
def test_no_text_of_the_call_is_repeated(said):
    shown = reason({"detail": said})
    assert "[text]" in shown
    assert not any(PASSAGE[start : start + 16] in shown for start in range(len(PASSAGE) - 15))
    assert QUERY not in shown


def test_words_that_anybody_may_use_stay():
    assert reason({"detail": "the committee of a Tuesday"}) == "the committee of a Tuesday"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    before=st.text(max_size=40),
    after=st.text(max_size=600),
    passage=st.text("abc d", min_size=16, max_size=60),
    cut=st.integers(0, 40),
)
def test_whatever_a_server_echoes_is_removed(before, after, passage, cut):
    echo = passage[cut:]
    shown = clean(before + KEY + echo + after, secrets=(KEY,), texts=(passage,))
    assert len(shown) <= MOST
    assert KEY not in shown
    assert shown.isprintable()
    if len(echo) >= 16:
        assert echo not in shown


def test_an_error_about_many_long_passages_is_made_in_no_time():
    texts = [f"{number} {PASSAGE * 100}" for number in range(500)]
    assert clean("z" * 8_000 + PASSAGE, secrets=(), texts=texts) == "z" * MOST


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        ("r-1.2:3/4=", "r-1.2:3/4="),
        ("", None),
        (None, None),
        ("a\x1bb", None),
        ("x" * 129, None),
        ("a b", None),
    ],
)
def test_a_requests_id_is_shown_only_if_it_is_one(header, shown):
    assert printable(header) == shown
