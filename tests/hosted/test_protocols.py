"""A reply is a permutation of finite numbers, or an error: nothing else."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nvrerank import BadResponseError
from nvrerank.hosted import Usage
from nvrerank.hosted.protocols import PROTOCOLS, CutReplyError, parsed

READERS = {name: protocol.read for name, protocol in PROTOCOLS.items()}


def wrapped(protocol, items):
    """Items with `index` and `s` as the protocol writes them."""
    key = {"nim": "logit", "cohere": "relevance_score", "tei": "score"}[protocol]
    renamed = [
        {key if name == "s" else name: value for name, value in item.items()}
        if isinstance(item, dict)
        else item
        for item in items
    ]
    return {"nim": {"rankings": renamed}, "cohere": {"results": renamed}, "tei": renamed}[protocol]


def read(protocol, count, items):
    return READERS[protocol](count, json.dumps(wrapped(protocol, items)).encode()).logits


@pytest.fixture(params=READERS)
def protocol(request):
    return request.param


def test_scores_are_put_in_input_order(protocol):
    items = [
        {"index": 2, "s": 3.5},
        {"index": 0, "s": 1},
        {"index": 1, "s": -2.25, "document": {"text": "x"}},
    ]
    scores = read(protocol, 3, items)
    assert scores == [1.0, -2.25, 3.5]
    assert all(type(score) is float for score in scores)


GOOD = {"index": 0, "s": 1.0}

BAD_ITEMS = {
    "one missing": [GOOD],
    "none": [],
    "one too many": [GOOD, {"index": 1, "s": 1}, {"index": 1, "s": 1}],
    "duplicate": [GOOD, GOOD],
    "negative": [GOOD, {"index": -1, "s": 1}],
    "out of range": [GOOD, {"index": 2, "s": 1}],
    "no index": [GOOD, {"s": 1}],
    "no score": [GOOD, {"index": 1}],
    "a bool as index": [GOOD, {"index": True, "s": 1}],
    "a float as index": [GOOD, {"index": 1.0, "s": 1}],
    "a string as index": [GOOD, {"index": "1", "s": 1}],
    "null as index": [GOOD, {"index": None, "s": 1}],
    "a bool as score": [GOOD, {"index": 1, "s": True}],
    "a string as score": [GOOD, {"index": 1, "s": "1.0"}],
    "null as score": [GOOD, {"index": 1, "s": None}],
    "a list as score": [GOOD, {"index": 1, "s": [1]}],
    "NaN": [GOOD, {"index": 1, "s": math.nan}],
    "Infinity": [GOOD, {"index": 1, "s": math.inf}],
    "an integer beyond float": [GOOD, {"index": 1, "s": 10**400}],
    "no objects": [1.0, 2.0],
    "lists": [[0, 1.0], [1, 2.0]],
    "nulls": [None, None],
}


@pytest.mark.parametrize("items", BAD_ITEMS.values(), ids=BAD_ITEMS)
def test_what_is_no_permutation_of_finite_numbers_is_refused(protocol, items):
    with pytest.raises(BadResponseError, match="report it"):
        read(protocol, 2, items)


BAD_BODIES = {
    "nothing": b"",
    "HTML": b"<html>",
    "half of it": b'{"rankings": [{"index": 0, "logit": 1.0}',
    "an error": b'{"error": "overloaded"}',
    "a string": b'"rankings"',
    "a number": b"1",
    "null": b"null",
    "an object in place of the list": b'{"rankings": {"0": 1.0}, "results": {"0": 1.0}}',
    "no UTF-8": b'{"rankings": [{"index": 0, "logit": 1.0}], "x": "\xff"}',
    "UTF-16": '{"rankings": [{"index": 0, "logit": 1.0}]}'.encode("utf-16"),
    "1e999": b'{"rankings": [{"index": 0, "logit": 1e999}],'
    b' "results": [{"index": 0, "relevance_score": 1e999}]}',
    "a key twice": b'{"rankings": [{"index": 0, "logit": 1, "logit": 2}],'
    b' "results": [{"index": 0, "relevance_score": 1, "index": 0}]}',
    "the list twice": b'{"rankings": [{"index": 0, "logit": 1}], "rankings": [],'
    b' "results": [], "results": []}',
    "deep": b'{"rankings": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a very long integer": b'{"rankings": [{"index": 0, "logit": ' + b"9" * 10_000 + b"}]}",
    "trailing text": b'{"rankings": [{"index": 0, "logit": 1}]} ok',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_what_is_not_the_protocols_json_is_refused(protocol, body):
    with pytest.raises(BadResponseError, match="report it"):
        READERS[protocol](1, body)


def test_tei_reads_no_duplicate_and_no_overflow():
    for body in (b'[{"index": 0, "score": 1, "score": 2}]', b'[{"index": 0, "score": 1e999}]'):
        with pytest.raises(BadResponseError):
            READERS["tei"](1, body)


def test_no_message_repeats_what_the_server_wrote(protocol):
    with pytest.raises(BadResponseError) as caught:
        read(protocol, 1, [{"index": "PASSAGE", "s": "PASSAGE"}])
    assert "PASSAGE" not in str(caught.value)


patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no bug

numbers = st.integers() | st.floats() | st.booleans() | st.none() | st.text(max_size=3)
near_misses = st.lists(
    st.fixed_dictionaries({}, optional={"index": st.integers(-1, 4) | numbers, "s": st.floats() | numbers}),
    max_size=5,
)


@patient
@given(items=near_misses, count=st.integers(1, 4), protocol=st.sampled_from(sorted(READERS)))
def test_any_reply_is_a_permutation_or_an_error(items, count, protocol):
    try:
        scores = read(protocol, count, items)
    except BadResponseError:
        return
    assert sorted(item["index"] for item in items) == list(range(count))
    assert scores == [item["s"] for item in sorted(items, key=lambda item: item["index"])]
    assert all(math.isfinite(score) for score in scores)


@patient
@given(scores=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20), data=st.data())
def test_any_order_of_a_good_reply_is_understood(scores, data):
    order = data.draw(st.permutations(range(len(scores))))
    for protocol in READERS:
        assert (
            read(protocol, len(scores), [{"index": index, "s": scores[index]} for index in order]) == scores
        )


anything = st.recursive(
    numbers,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@patient
@given(reply=anything | st.dictionaries(st.sampled_from(["rankings", "results", "usage"]), anything))
def test_any_json_at_all_is_scores_or_an_error(reply):
    for reader in READERS.values():
        try:
            assert reader(1, json.dumps(reply).encode()).logits
        except BadResponseError:
            continue


@patient
@given(st.binary(max_size=200))
def test_any_bytes_at_all_are_scores_or_an_error(body):
    for reader in READERS.values():
        try:
            assert reader(1, body).logits
        except BadResponseError:
            continue


@pytest.mark.parametrize(
    ("told", "tokens"),
    [
        ({"prompt_tokens": 7, "total_tokens": 9}, (7, 9)),
        ({"total_tokens": 9}, (None, 9)),
        ({"prompt_tokens": True, "total_tokens": "9"}, (None, None)),
        ({"prompt_tokens": -1, "total_tokens": 1.5}, (None, None)),
        (None, (None, None)),
        ([], (None, None)),
    ],
)
def test_usage_is_read_where_it_is_told(told, tokens):
    body = {"rankings": [{"index": 0, "logit": 1.0}], "usage": told}
    usage = READERS["nim"](1, json.dumps(body).encode()).usage
    assert (usage.prompt_tokens, usage.total_tokens) == tokens


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"meta": {"tokens": {"input_tokens": 7, "output_tokens": 2}}}, Usage(1, 1, 7, 9)),
        ({"meta": {"tokens": {"input_tokens": 7}}}, Usage(1, 1, 7, 7)),
        ({"meta": {"billed_units": {"search_units": 1}}}, Usage(1, 1, None, None, 1)),
        ({"meta": {"tokens": {"input_tokens": 7}}, "usage": {"total_tokens": 8}}, Usage(1, 1, 7, 8)),
        ({"meta": {"tokens": [7], "billed_units": {"search_units": "1"}}}, Usage(1, 1)),
        ({"meta": 7}, Usage(1, 1)),
    ],
)
def test_usage_is_read_where_cohere_tells_it(told, usage):
    body = {"results": [{"index": 0, "relevance_score": 1.0}]} | told
    assert READERS["cohere"](1, json.dumps(body).encode()).usage == usage


WHOLE = [
    {"results": [{"index": 0, "relevance_score": -1.5e-10, "a": [True, False, None]}, {"b": 12e5}]},
    [{"index": 10, "text": 'quoted " and \\ é\u2028東\ud83d\ude00'}],
]


@pytest.mark.parametrize("whole", WHOLE)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_every_beginning_of_json_is_known_as_one(whole, ascii_only):
    body = json.dumps(whole, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    if not ascii_only:
        body = body.replace("\ud83d\ude00".encode("utf-8", "surrogatepass"), "😀".encode())
    assert parsed(body)
    for length in range(1, len(body)):
        with pytest.raises(CutReplyError):
            parsed(body[:length])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"<html>",
        b"upstream timed out",
        b"not found",
        b"false alarm",
        b'{"a" 1}',
        b'{"a": tru}',
        b'{"a": "\\u12"}',
        b'{"a": NaN}',
        b"[1 2]",
        b"{,}",
        b"{} ok",
        b"\xff",
        b'{"a":1]',
        b"-x",
        b"1.x",
    ],
)
def test_what_is_whole_and_wrong_is_no_beginning(body):
    with pytest.raises(BadResponseError) as caught:
        parsed(body)
    assert not isinstance(caught.value, CutReplyError)


def test_models_are_listed_base_models_first():
    data = [{"id": "lora", "root": "base"}, {"id": "base", "root": "base"}, {"id": "plain"}]
    assert PROTOCOLS["nim"].read_models(json.dumps({"data": data}).encode()) == ["base", "plain", "lora"]
    assert PROTOCOLS["tei"].read_models(b'{"model_id": "m"}') == ["m"]


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b'{"data": {}}',
        b'{"data": [{}]}',
        b'{"data": [{"id": 1}]}',
        b"x",
        b'{"data": [{"id": "\\ud800"}], "model_id": "\\ud800"}',
        b'{"data": [{"id": ""}], "model_id": ""}',
    ],
)
def test_a_list_of_models_that_is_none_is_refused(body):
    with pytest.raises(BadResponseError):
        PROTOCOLS["nim"].read_models(body)
    with pytest.raises(BadResponseError):
        PROTOCOLS["tei"].read_models(body)
