"""Cascade: the cheap scorer cuts, the strong one orders, and it is seen which passage is which."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.simple_scorers import Length

from nvrerank import Cached, Cascade, RequestRejectedError, rerank

PASSAGES = ["a", "eeeee", "ccc", "bb", "dddd"]


@pytest.fixture
def cheap():
    return Length("cheap")


@pytest.fixture
def strong():
    return Length("strong", -1.0)


def test_the_strong_scorer_orders_what_the_cheap_one_likes_best(ranked, cheap, strong):
    ranking = ranked(Cascade(cheap, strong, keep=3), "q", PASSAGES)
    assert [one.index for one in ranking] == [2, 4, 1, 3, 0]
    assert strong.asked == [("q", ["eeeee", "ccc", "dddd"])]
    assert cheap.asked == [("q", PASSAGES)]


def test_the_result_says_which_is_which(ranked, cheap, strong):
    ranking = ranked(Cascade(cheap, strong, keep=3), "q", PASSAGES)
    assert [one.cut for one in ranking] == [False, False, False, True, True]
    assert [one.source for one in ranking] == ["strong"] * 3 + ["cheap"] * 2
    assert ranking.answered_by == "strong"


def test_the_cheap_scorer_is_not_asked_about_few_passages(ranked, cheap, strong):
    ranking = ranked(Cascade(cheap, strong, keep=5), "q", PASSAGES)
    assert [one.index for one in ranking] == [0, 3, 2, 4, 1]
    assert cheap.asked == []
    assert not any(one.cut for one in ranking)


@pytest.mark.parametrize("fuse", [None, "rrf", "zscore"])
@pytest.mark.parametrize("mode", ["logit", "sigmoid"])
def test_kept_ones_stand_above_cut_ones_however_it_is_ordered(ranked, cheap, strong, fuse, mode):
    retrieval = [9.0, 0.1, 0.2, 8.0, 0.3]  # it likes best what the cheap scorer cuts
    options = {"fuse": fuse, "score_mode": mode, "retrieval_scores": retrieval}
    ranking = ranked(Cascade(cheap, strong, keep=3), "q", PASSAGES, **options)
    assert [one.cut for one in ranking] == [False, False, False, True, True]
    assert {one.index for one in ranking[3:]} == {0, 3}
    assert [one.score for one in ranking[:3]] >= [ranking[3].score] * 3


def test_fusion_of_the_kept_ones_is_as_if_there_were_no_others(ranked, cheap, strong):
    long = [9.0, 0.1, 0.2, 8.0, 0.3]
    ranking = ranked(Cascade(cheap, strong, keep=3), "q", PASSAGES, fuse="zscore", retrieval_scores=long)
    alone = ranked(strong, "q", ["eeeee", "ccc", "dddd"], fuse="zscore", retrieval_scores=[0.1, 0.2, 0.3])
    assert [one.fused for one in ranking[:3]] == pytest.approx([one.fused for one in alone])


@settings(max_examples=60, deadline=None)
@given(
    weights=st.tuples(
        st.sampled_from([1.0, -1.0, 1e300, 1e-320, 0.0]), st.sampled_from([1.0, -3.0, 1e306, 0.0])
    ),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=9, unique=True),
    keep=st.integers(1, 4),
    scale=st.sampled_from(["logit", "probability"]),
)
def test_the_plain_numbers_keep_the_kept_above_the_cut(weights, lengths, keep, scale):
    strong = Length("strong", abs(weights[1]) / 1e307 if scale == "probability" else weights[1], scale=scale)
    scored = Cascade(Length("cheap", weights[0]), strong, keep=keep).score_detailed(
        "q", ["x" * length for length in lengths]
    )
    kept = [one.logit for one in scored if one.source.tier == 0]
    cut = [one.logit for one in scored if one.source.tier]
    assert len(kept) == min(keep, len(lengths))
    assert not cut or max(cut) < min(kept)
    assert scale == "logit" or all(one >= 0 for one in cut) or min(kept) == 0


def test_no_threshold_lets_a_cut_passage_pass(ranked, cheap, strong):
    ranking = ranked(Cascade(cheap, strong, keep=3), "q", ["", *PASSAGES], threshold=-1e9)
    assert [one.index for one in ranking] == [3, 5, 2]


def test_control_the_threshold_of_the_strong_scorers_scale_counts(ranked, cheap, strong):
    assert [one.index for one in ranked(Cascade(cheap, strong, keep=3), "q", PASSAGES, threshold=-4)] == [
        2,
        4,
    ]


def test_equal_scores_of_the_cheap_scorer_keep_the_input_order(ranked, strong):
    ranking = ranked(Cascade(Length("cheap", 0.0), strong, keep=2), "q", PASSAGES)
    assert [one.index for one in ranking] == [0, 1, 2, 3, 4]


def test_a_cascade_of_cascades_has_as_many_steps(ranked, cheap, strong):
    middle = Length("middle")
    ranking = ranked(Cascade(cheap, Cascade(middle, strong, keep=2), keep=4), "q", PASSAGES, fuse="rrf")
    assert [one.index for one in ranking[2:]] == [2, 3, 0]
    assert [one.source for one in ranking] == ["strong", "strong", "middle", "middle", "cheap"]
    assert [one.cut for one in ranking] == [False, False, True, True, True]


def test_many_queries_are_one_call_of_each_scorer(cheap, strong):
    cascade = Cascade(cheap, strong, keep=3)
    jobs = [("one", PASSAGES), ("two", PASSAGES[:2]), ("three", [])]
    expected = [cascade.score(*job) for job in jobs]
    assert cascade.score_many(jobs) == expected


@pytest.mark.parametrize("many", [False, True])
def test_an_error_of_the_strong_scorer_names_the_callers_own_passage(ranked, cheap, strong, many):
    strong.fails = RequestRejectedError("too long", index=1)
    cascade = Cascade(cheap, strong, keep=3)
    with pytest.raises(RequestRejectedError) as caught:
        cascade.score_many([("q", PASSAGES), ("r", [])]) if many else ranked(cascade, "q", ["", *PASSAGES])
    assert caught.value.index == (None if many else 3)


def test_it_can_not_be_cached_but_its_scorers_can(cheap, strong):
    with pytest.raises(
        TypeError, match=r"depends on the other passages\. Put Cached around the scorers within"
    ):
        Cached(Cascade(cheap, strong))


def test_a_pickle_cuts_as_the_original(cheap, strong):
    cascade = Cascade(cheap, strong, keep=2)
    assert pickle.loads(pickle.dumps(cascade)).score("q", PASSAGES) == cascade.score("q", PASSAGES)


def test_it_closes_both(cheap, strong):
    with Cascade(cheap, strong):
        pass
    assert (cheap.closed, strong.closed) == (True, True)


def test_it_says_what_it_is(cheap, strong):
    assert Cascade(cheap, strong).name == "cheap, then strong"
    assert Cascade(cheap, strong).keep == 50


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"strong": "bundled"}, TypeError, "strong must be a Scorer, not str"),
        ({"keep": 0}, ValueError, "keep must be 1 or more"),
        ({"keep": 2.5}, TypeError, "keep must be a whole number"),
    ],
)
def test_a_bad_argument_is_refused_at_construction(options, kind, message):
    with pytest.raises(kind, match=message):
        Cascade(**{"cheap": Length(), "strong": Length(), **options})


def test_a_copy_of_a_passage_is_scored_once_and_cut_alike(strong):
    ranking = rerank(Cascade(Length(), strong, keep=1), "q", ["bb", "a", "bb"])
    assert [(one.index, one.cut) for one in ranking] == [(0, False), (2, False), (1, True)]
