"""A long passage becomes windows: what they cover, how long they are, and whose score is whose."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.token_counters import Bytes, Swelling, Words

from nvrerank import RequestRejectedError, Scored
from nvrerank.segmentation import Boundaries, cut_windows
from nvrerank.texts import is_blank
from nvrerank.token_counter import EstimatedTokenCounter
from nvrerank.windows import Cutting, settled

PIECES = ["word", "Wörter", " ", "  ", ". ", "! ", "\n", "\r\n", "\t"]
PIECES += ["。", "猫である", "🙂", "👩\u200d👧", "e\u0301", "x" * 40]
long_texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=120).map("".join).filter(str.strip)


def estimated(room: int) -> EstimatedTokenCounter:
    counter = EstimatedTokenCounter()
    counter.room = room
    return counter


counters = st.sampled_from([Words, Bytes, Swelling, estimated])


def spans_of(text: str, counter, **options) -> list[tuple[int, int]]:
    [spans] = Cutting(**options).plan(counter, [text])._spans
    return spans


@settings(max_examples=300, deadline=None)
@given(long_texts, counters, st.integers(2, 60))
def test_windows_cover_every_character_that_is_not_blank(text, counter, room):
    covered = {place for start, end in spans_of(text, counter(room)) for place in range(start, end)}
    assert {place for place, one in enumerate(text) if not is_blank(one)} <= covered


@settings(max_examples=300, deadline=None)
@given(long_texts, counters, st.integers(2, 60))
def test_no_window_is_longer_than_there_is_room_unless_it_is_one_character(text, counter, room):
    counter = counter(room)
    spans = spans_of(text, counter)
    counts = counter.counts([text[start:end] for start, end in spans])
    assert all(count <= room or end - start == 1 for count, (start, end) in zip(counts, spans, strict=True))


@settings(max_examples=300, deadline=None)
@given(long_texts, counters, st.integers(2, 60))
def test_windows_go_forward_and_are_never_blank(text, counter, room):
    spans = spans_of(text, counter(room))
    assert all(text[start:end].strip() == text[start:end] != "" for start, end in spans) or len(spans) == 1
    assert all(one[0] < two[0] and one[1] < two[1] for one, two in pairwise(spans))


@settings(max_examples=300, deadline=None)
@given(long_texts, st.integers(4, 60), st.data())
def test_neighbours_share_at_least_the_overlap_and_at_most_half_as_much_again(text, budget, data):
    overlap = data.draw(st.integers(1, budget // 4))
    ends = Words().ends(text)
    spans = list(cut_windows(text, ends, Boundaries(text), budget, overlap))
    for (_, end), (start, _) in pairwise(spans):
        shared = sum(start < one <= end for one in ends)
        assert overlap <= shared <= overlap + overlap // 2


def test_without_overlap_nothing_is_read_twice():
    text = " ".join(map(str, range(100)))
    spans = spans_of(text, Words(10), overlap=0)
    assert " ".join(text[start:end] for start, end in spans) == text


def test_windows_end_with_sentences_where_they_can():
    text = "One two three four five. Six seven eight nine. Ten eleven twelve thirteen fourteen."
    assert [text[start:end] for start, end in spans_of(text, Words(10), overlap=0)] == [
        "One two three four five. Six seven eight nine.",
        "Ten eleven twelve thirteen fourteen.",
    ]


def test_a_sentence_that_is_too_long_is_cut_between_words():
    text = " ".join(["word"] * 25)
    assert [end - start for start, end in spans_of(text, Words(10), overlap=0)] == [49, 49, 24]


def test_japanese_is_cut_after_its_sentences():
    text = "吾輩は猫である。名前はまだ無い。" * 10
    assert all(text[start:end].endswith("。") for start, end in spans_of(text, Bytes(120)))


def test_a_passage_that_fits_is_scored_as_it_is_with_its_blanks():
    plan = Cutting().plan(Words(10), [" three short words \n"])
    assert plan.texts == [" three short words \n"]
    assert plan.pooled([Scored(1.5)]) == [Scored(1.5, truncated=False)]


def test_a_size_beyond_the_room_counts_as_the_room_and_a_smaller_one_as_it_is():
    text = " ".join(["word"] * 25)
    tens, fives = spans_of(text, Words(10)), spans_of(text, Words(5))
    assert spans_of(text, Words(10), size=1000) == spans_of(text, Words(None), size=10) == tens
    assert spans_of(text, Words(10), size=5) == fives != tens


def test_each_distinct_window_is_scored_once_and_counts_for_each_of_its_passages():
    chorus = "la li lo lu la li lo lu"
    plan = Cutting(overlap=0).plan(Words(8), [f"{chorus} {chorus} one", chorus])
    assert plan.texts == [chorus, "one"]
    assert plan.pooled([Scored(2.0), Scored(1.0)]) == [
        Scored(2.0, truncated=False, window=(0, 23)),
        Scored(2.0, truncated=False),
    ]


def pooled(pool: str, *logits: float) -> Scored:
    plan = Cutting(pool=pool, overlap=0).plan(Words(1), ["a b c"])
    [one] = plan.pooled([Scored(logit) for logit in logits])
    return one


def test_max_takes_the_best_window_the_earliest_of_equals():
    assert pooled("max", 1.0, 5.0, 5.0) == Scored(5.0, truncated=False, window=(2, 3))


def test_mean_takes_the_mean_and_shows_the_best():
    assert pooled("mean", 1.0, 5.0, 3.0) == Scored(3.0, truncated=False, window=(2, 3))


def test_first_scores_the_first_alone_and_says_that_the_rest_is_not_read():
    assert pooled("first", 1.0) == Scored(1.0, truncated=True, window=(0, 1))


@pytest.mark.parametrize(
    ("exact", "told", "expected"),
    [
        (True, [None, None], False),
        (False, [None, None], None),
        (False, [False, False], False),
        (True, [False, True], True),
    ],
)
def test_truncated_is_what_the_scorer_tells_of_the_windows_else_what_the_count_knows(exact, told, expected):
    counter = Words(1)
    counter.exact = exact
    plan = Cutting().plan(counter, ["a b"])
    assert plan.pooled([Scored(1.0, one) for one in told])[0].truncated is expected


def test_a_window_of_a_window_is_told_in_characters_of_the_passage():
    plan = Cutting(overlap=0).plan(Words(2), ["aa bb cc dd"])
    [one] = plan.pooled([Scored(1.0), Scored(2.0, window=(3, 5))])
    assert one.window == (9, 11)


def test_an_error_about_a_window_names_the_passage():
    plan = Cutting(overlap=0).plan(Words(1), ["a", "b c", "d"])
    error = RequestRejectedError("no", index=2)
    with pytest.raises(RequestRejectedError, match=r"passages\[1\]: no"), plan.naming_passages():
        raise error


def test_an_error_about_a_window_that_there_is_not_names_no_passage():
    plan = Cutting().plan(Words(8), ["a"])
    error = RequestRejectedError("no", index=99)
    with pytest.raises(RequestRejectedError, match=r"^no$"), plan.naming_passages():
        raise error


def test_the_plan_says_which_part_of_the_query_is_asked_with():
    counter = Words(2)
    counter.query = "a beginning"
    plan = Cutting(overlap=0).plan(counter, ["a b c"])
    assert plan.query == "a beginning"
    assert plan.pooled([Scored(1.0), Scored(2.0)])[0].query_truncated
    assert not Cutting().plan(Words(8), ["a"]).pooled([Scored(1.0)])[0].query_truncated
    assert Cutting().plan(Words(8), ["a"]).pooled([Scored(1.0, query_truncated=True)])[0].query_truncated


def test_a_query_that_leaves_no_room_is_refused():
    with pytest.raises(RequestRejectedError, match="leaves no room"):
        Cutting().plan(Words(0), ["a"])


def test_without_any_limit_a_size_is_asked_for():
    with pytest.raises(ValueError, match="give size="):
        Cutting().plan(Words(None), ["a"])


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"size": 0}, ValueError, "size must be 1 or more"),
        ({"size": 2.5}, TypeError, "size must be a whole number"),
        ({"size": True}, TypeError, "size must be a whole number"),
        ({"overlap": -1}, ValueError, "overlap must be 0 or more"),
        ({"overlap": "64"}, TypeError, "overlap must be a whole number"),
        ({"size": 40, "overlap": 11}, ValueError, "at most a quarter of size, not 11 of 40"),
        ({"pool": "sum"}, ValueError, "pool must be 'max', 'mean' or 'first'"),
    ],
)
def test_a_bad_option_is_refused_by_name(options, kind, message):
    with pytest.raises(kind, match=message):
        Cutting(**options)


def test_a_million_characters_are_cut_to_their_end():
    text = "The sea belongs to the shore number five, and 12 more. " * 20_000
    spans = spans_of(text, EstimatedTokenCounter(512))
    assert spans[-1][1] == len(text.rstrip())
    assert len(spans) > 500


@pytest.mark.parametrize(
    ("long_passages", "truncate", "expected"),
    [
        (None, None, "truncate"),
        (None, "END", "truncate"),
        (None, "NONE", "error"),
        ("error", "NONE", "error"),
        ("truncate", "END", "truncate"),
        ("windows", "END", "windows"),
        ("windows", None, "windows"),
    ],
)
def test_both_words_for_what_becomes_of_a_long_passage_mean_the_same(long_passages, truncate, expected):
    assert settled(long_passages, truncate) == expected


@pytest.mark.parametrize(
    ("long_passages", "truncate"), [("error", "END"), ("truncate", "NONE"), ("windows", "NONE")]
)
def test_words_that_contradict_each_other_are_refused(long_passages, truncate):
    with pytest.raises(ValueError, match="contradict each other"):
        settled(long_passages, truncate)
