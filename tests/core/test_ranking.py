"""From logits to an order: one set of promises for `rerank` and `arerank`."""

from __future__ import annotations

import asyncio
import copy
import math
import pickle
import random
import warnings
from collections.abc import Sequence
from concurrent.futures import CancelledError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvrerank import (
    BadResponseError,
    PassthroughWarning,
    Ranked,
    Ranking,
    RequestRejectedError,
    Scored,
    Scorer,
    ScoreSource,
    ScoringError,
    ServiceUnavailableError,
    UncalibratedWarning,
    Windowed,
    arerank,
    rerank,
)
from nvrerank.ranking import sigmoid


class ByTable(Scorer):
    """Looks each passage's logit up; remembers what it was asked."""

    def __init__(self, **logits: float) -> None:
        self.logits = logits
        self.asked: list[list[str]] = []

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        self.asked.append(list(passages))
        return [self.logits.get(passage, float(len(passage))) for passage in passages]


class Returns(Scorer):
    """Returns whatever it was given, fit or not."""

    def __init__(self, scores) -> None:
        self.scores = scores

    def score(self, query, passages):
        return self.scores


class Raises(Scorer):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def score(self, query, passages):
        raise self.error


@pytest.fixture(params=["rerank", "arerank"])
def rank(request):
    """Runs `rerank`, then `arerank`, so that both keep every promise."""
    if request.param == "rerank":
        return rerank
    return lambda *args, **options: asyncio.run(arerank(*args, **options))


ABC = ["a", "b", "c"]


def test_the_best_comes_first_with_its_own_index_and_raw_logit(rank):
    assert rank(ByTable(a=-2.0, b=3.5, c=0.0), "q", ABC) == [Ranked(1, 3.5), Ranked(2, 0.0), Ranked(0, -2.0)]


def test_equal_scores_keep_input_order(rank):
    ranked = rank(ByTable(a=1.0, b=2.0, c=1.0, d=2.0), "q", ["a", "b", "c", "d"])
    assert [one.index for one in ranked] == [1, 3, 0, 2]


@pytest.mark.parametrize(
    ("top_n", "kept"), [(None, 3), (0, 0), (1, 1), (2, 2), (3, 3), (99, 3), (np.int64(2), 2)]
)
def test_top_n_cuts_after_sorting(rank, top_n, kept):
    ranked = rank(ByTable(a=1.0, b=3.0, c=2.0), "q", ABC, top_n=top_n)
    assert [one.index for one in ranked] == [1, 2, 0][:kept]


@pytest.mark.parametrize(
    ("top_n", "error"),
    [(-1, ValueError), (True, TypeError), (2.0, TypeError), ("2", TypeError), (math.nan, TypeError)],
)
def test_a_top_n_that_is_no_count_is_refused_before_anything_is_scored(rank, top_n, error):
    scorer = ByTable()
    with pytest.raises(error, match="top_n must be"):
        rank(scorer, "q", ABC, top_n=top_n)
    assert scorer.asked == []


def test_the_threshold_is_inclusive_and_comes_before_top_n(rank):
    scorer = ByTable(a=1.0, b=3.0, c=2.0)
    assert [one.index for one in rank(scorer, "q", ABC, threshold=2.0)] == [1, 2]
    assert [one.index for one in rank(scorer, "q", ABC, threshold=2.0, top_n=1)] == [1]
    assert rank(scorer, "q", ABC, threshold=3.01) == []


def test_the_threshold_is_compared_after_the_mode(rank):
    ranked = rank(ByTable(a=0.0, b=3.0, c=-3.0), "q", ABC, threshold=0.5, score_mode="sigmoid")
    assert ranked == [Ranked(1, pytest.approx(0.952574, abs=1e-6)), Ranked(0, 0.5)]


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"threshold": math.nan}, ValueError),
        ({"threshold": "0.5"}, TypeError),
        ({"threshold": True}, TypeError),
        ({"score_mode": "softmax"}, ValueError),
        ({"score_mode": None}, ValueError),
        ({"on_error": "ignore"}, ValueError),
    ],
)
def test_an_unknown_option_is_refused_by_name(rank, option, error):
    with pytest.raises(error, match=next(iter(option))):
        rank(ByTable(), "q", ABC, **option)


def test_different_logits_with_the_same_sigmoid_are_still_in_order(rank):
    ranked = rank(ByTable(a=50.0, b=900.0, c=100.0), "q", ABC, score_mode="sigmoid")
    assert ranked == [Ranked(1, 1.0), Ranked(2, 1.0), Ranked(0, 1.0)]


@given(st.floats(-1e308, 1e308))
def test_the_sigmoid_equals_numpys_logistic_and_never_overflows(logit):
    expected = 1.0 / (1.0 + np.exp(-np.longdouble(logit))) if logit > -700 else 0.0
    assert sigmoid(logit) == pytest.approx(float(expected), abs=1e-15)


def test_blank_passages_are_never_scored_and_come_last_without_a_score(rank):
    scorer = ByTable(a=-5.0, b=1.0)
    ranked = rank(scorer, "q", ["", "a", " \n\t", "b", "\u2003"])
    assert ranked == [Ranked(3, 1.0), Ranked(1, -5.0), Ranked(0, None), Ranked(2, None), Ranked(4, None)]
    assert scorer.asked == [["a", "b"]]


@pytest.mark.parametrize("unseen", ["\u200b\ufeff", "\u2800", "\u3164\u00ad", "\x00"])
def test_a_passage_of_which_nothing_can_be_seen_is_blank(rank, unseen):
    ranking = rank(ByTable(a=-1.0), "q", [unseen, "a"])
    assert [(one.index, one.score) for one in ranking] == [(1, -1.0), (0, None)]


def test_any_threshold_drops_blanks(rank):
    assert rank(ByTable(a=1.0), "q", ["", "a"], threshold=-math.inf) == [Ranked(1, 1.0)]


def test_only_blanks_or_nothing_wanted_asks_no_scorer(rank):
    scorer = ByTable()
    assert rank(scorer, "q", []) == []
    assert rank(scorer, "q", ["", " "]) == [Ranked(0, None), Ranked(1, None)]
    assert rank(scorer, "q", ABC, top_n=0) == []
    assert scorer.asked == []


@pytest.mark.parametrize("query", ["", "   ", "\n"])
def test_a_blank_query_is_an_error_even_without_passages(rank, query):
    for passages in (ABC, []):
        with pytest.raises(ValueError, match="query is blank"):
            rank(ByTable(), query, passages)


def test_duplicates_are_scored_once_and_returned_each(rank):
    scorer = ByTable(a=1.0, b=2.0)
    ranked = rank(scorer, "q", ["a", "b", "a", "b", "a"])
    assert [one.index for one in ranked] == [1, 3, 0, 2, 4]
    assert scorer.asked == [["a", "b"]]


def test_a_generator_is_read_once(rank):
    assert rank(ByTable(a=1.0, b=2.0), "q", (text for text in "ab")) == [Ranked(1, 2.0), Ranked(0, 1.0)]


def test_inputs_stay_as_they_were(rank):
    passages = ["b", "", "a", "\ud800"]
    rank(ByTable(), "q", passages)
    assert passages == ["b", "", "a", "\ud800"]


def test_lone_surrogates_reach_the_scorer_as_replacement_characters(rank):
    scorer = ByTable()
    rank(scorer, "q \udfff", ["a\ud800", "\ud83d\ude00"])
    assert scorer.asked == [["a\ufffd", "\U0001f600"]]


@pytest.mark.parametrize("passage", [None, b"x", 1, 2.5, ["x"], float("nan")])
def test_a_passage_of_the_wrong_type_is_named_by_its_index(rank, passage):
    with pytest.raises(TypeError, match=r"passages\[1\] must be a str"):
        rank(ByTable(), "q", ["a", passage])


@pytest.mark.parametrize("passages", ["one string", b"bytes", {"a": 1}, None, 7])
def test_what_is_no_list_of_passages_is_refused(rank, passages):
    with pytest.raises(TypeError, match="passages must be a list of str"):
        rank(ByTable(), "q", passages)


@pytest.mark.parametrize("query", [None, b"q", 3])
def test_a_query_of_the_wrong_type_is_refused(rank, query):
    with pytest.raises(TypeError, match="query must be a str"):
        rank(ByTable(), query, ABC)


@pytest.mark.parametrize("text", ["nul \x00", "x" * 100_000, "\u200bx"], ids=["nul", "long", "zero width"])
def test_odd_texts_are_passages_like_others(rank, text):
    scorer = ByTable(a=-1.0)
    assert [one.index for one in rank(scorer, "q", ["a", text])] == [1, 0]
    assert scorer.asked == [["a", text]]


def test_ten_thousand_passages_are_ordered_as_python_sorts_them(rank):
    chance = random.Random(3)
    logits = [chance.choice([0.0, chance.uniform(-9, 9)]) for _ in range(10_000)]
    passages = [f"passage {number}" for number in range(10_000)]
    ranked = rank(ByTable(**dict(zip(passages, logits, strict=True))), "q", passages)
    assert [one.index for one in ranked] == sorted(range(10_000), key=lambda index: (-logits[index], index))


@pytest.mark.parametrize(
    "scores",
    [
        [1.0, 2.0],
        [1.0, 2.0, 3.0, 4.0],
        [1.0, math.nan, 2.0],
        [1.0, math.inf, 2.0],
        [1.0, None, 2.0],
        [1.0, "2.0", 3.0],
        [1.0, True, 2.0],
        [1.0, [2.0, 3.0], 2.0],
        [1, 10**400, 2],
    ],
    ids=str,
)
def test_scores_that_are_not_one_finite_number_a_passage_are_never_a_ranking(rank, scores):
    with pytest.raises(BadResponseError, match="Returns returned"):
        rank(Returns(scores), "q", ABC)


@pytest.mark.parametrize(
    "scores", [np.array([1.0, 3.0, 2.0], dtype=np.float32), (1, 3, 2)], ids=["numpy", "ints"]
)
def test_numbers_of_any_kind_come_out_as_python_floats(rank, scores):
    ranked = rank(Returns(scores), "q", ABC)
    assert ranked == [Ranked(1, 3.0), Ranked(2, 2.0), Ranked(0, 1.0)]
    assert {type(one.score) for one in ranked} == {float}


def test_a_failing_scorer_is_an_error_and_no_partial_ranking(rank):
    with pytest.raises(ServiceUnavailableError, match="down"):
        rank(Raises(ServiceUnavailableError("down", status=503)), "q", ABC)


def test_passthrough_keeps_the_input_order_and_warns_once(rank):
    scorer = Raises(ServiceUnavailableError("down"))
    with pytest.warns(PassthroughWarning, match="ServiceUnavailableError: down") as warned:
        ranked = rank(scorer, "q", ["a", "", "b"], top_n=2, threshold=0.5, on_error="passthrough")
    assert ranked == [Ranked(0, None), Ranked(1, None)]
    assert len(warned) == 1


FOREIGN = [
    RuntimeError("CUDA error: device-side assert triggered"),
    ValueError("asking to pad but the tokenizer has no padding token"),
    TypeError("unsupported operand"),
    MemoryError(),
    RecursionError("too deep"),
    OSError("disk full"),
    TimeoutError(),
    ExceptionGroup("tasks", [KeyError("x")]),
]


@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)
def test_whatever_a_scorer_raises_is_an_error_of_ours_with_its_cause(rank, error):
    with pytest.raises(ScoringError, match=f"^Raises failed while scoring: {type(error).__name__}") as caught:
        rank(Raises(error), "q", ABC)
    assert type(caught.value.__cause__) is type(error)
    with pytest.warns(PassthroughWarning, match=type(error).__name__) as warned:
        ranked = rank(Raises(error), "q", ABC, on_error="passthrough", top_n=2)
    assert ranked == [Ranked(0, None), Ranked(1, None)]
    assert len(warned) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, CancelledError])
def test_what_ends_a_call_is_no_failure_of_the_scorer(error):
    with pytest.raises(error):
        rerank(Raises(error()), "q", ABC, on_error="passthrough")


async def test_a_cancelled_call_is_cancelled_also_under_passthrough():
    class Waits(ByTable):
        async def ascore(self, query, passages):
            await asyncio.Event().wait()

    call = asyncio.create_task(arerank(Waits(), "q", ABC, on_error="passthrough"))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait({call})
    assert call.cancelled()


def test_a_warning_about_a_failure_points_at_the_caller():
    for query, scorer in ((" ", ByTable()), ("q", Raises(RuntimeError("boom")))):
        with pytest.warns(PassthroughWarning) as warned:
            rerank(scorer, query, ABC, on_error="passthrough")
        assert warned[0].filename == __file__


@pytest.mark.parametrize("query", ["", "   ", "\n"])
def test_a_blank_query_passes_through_where_that_was_asked_for(rank, query):
    scorer = ByTable()
    with pytest.warns(PassthroughWarning, match="query is blank") as warned:
        ranked = rank(scorer, query, ["a", "", "b"], top_n=2, on_error="passthrough")
    assert ranked == [Ranked(0, None), Ranked(1, None)]
    assert (ranked.query, scorer.asked, len(warned)) == (query, [], 1)


@pytest.mark.parametrize(
    ("query", "passages", "options", "error"),
    [
        (None, ABC, {}, TypeError),
        ("q", ["a", None], {}, TypeError),
        (" ", "one string", {}, TypeError),
        ("q", ABC, {"top_n": -1}, ValueError),
        (" ", ABC, {"fuse": "zscore"}, ValueError),
        ("q", ABC, {"retrieval_scores": [1.0]}, ValueError),
    ],
)
def test_passthrough_never_hides_a_bad_argument(rank, query, passages, options, error):
    with pytest.raises(error):
        rank(ByTable(), query, passages, on_error="passthrough", **options)


class Probabilities(ByTable):
    """A server's scores, as most of them return: sigmoids already."""

    scale = "probability"


SERVED = {"a": 0.881, "b": 0.047, "c": 0.622}


@pytest.mark.parametrize("wrap", [lambda scorer: scorer, lambda scorer: Windowed(scorer, size=100)])
def test_probabilities_are_left_as_they_are(rank, wrap):
    scorer = wrap(Probabilities(**SERVED))
    for mode in ("logit", "sigmoid"):
        assert rank(scorer, "q", ABC, score_mode=mode) == [
            Ranked(0, 0.881, **told(scorer)),
            Ranked(2, 0.622, **told(scorer)),
            Ranked(1, 0.047, **told(scorer)),
        ]
        assert [one.index for one in rank(scorer, "q", ABC, score_mode=mode, threshold=0.5)] == [0, 2]
    squashed = rank(wrap(ByTable(**SERVED)), "q", ABC, score_mode="sigmoid", threshold=0.5)
    assert [round(one.score, 3) for one in squashed] == [0.707, 0.651, 0.512], "the control: logits"


def told(scorer):
    return {"truncated": rerank(scorer, "q", ["a"])[0].truncated}


class Uncalibrated(ByTable):
    calibrated = False


def test_probabilities_of_what_is_not_calibrated_warn_once_for_each_scorer(rank):
    scorer = Uncalibrated(a=1.0)
    with pytest.warns(UncalibratedWarning, match=r"Uncalibrated is not calibrated.*score_mode='logit'"):
        first = rank(scorer, "q", ["a"], score_mode="sigmoid")
    assert rank(scorer, "q", ["a"], score_mode="sigmoid") == first, "a second warning would raise here"
    with pytest.warns(UncalibratedWarning):
        rank(Windowed(Uncalibrated(), size=9), "q", ["a"], score_mode="sigmoid")


def test_logits_never_warn_nor_does_a_calibrated_scorer(rank):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        rank(Uncalibrated(), "q", ABC)
        rank(ByTable(), "q", ABC, score_mode="sigmoid")
    assert warned == []


def test_an_error_about_a_passage_names_the_callers_own_index(rank):
    with pytest.raises(RequestRejectedError, match=r"^passages\[3\]: too long") as caught:
        rank(Raises(RequestRejectedError("too long", index=1)), "q", ["a", "", "a", "b"])
    assert caught.value.index == 3


def test_an_error_about_a_passage_that_there_is_not_stays_the_scorers_own(rank):
    scorer = Raises(RequestRejectedError("too long", index=99))
    with pytest.raises(RequestRejectedError, match=r"^too long$"):
        rank(scorer, "q", ["a", "b"])
    with pytest.warns(PassthroughWarning, match="too long"):
        assert len(rank(scorer, "q", ["a", "b"], on_error="passthrough")) == 2


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=30), st.integers(0, 40))
def test_a_ranking_is_a_permutation_cut_to_top_n(logits, top_n):
    passages = ["" if logit is None else f"p{index}" for index, logit in enumerate(logits)]
    table = {f"p{index}": logit for index, logit in enumerate(logits) if logit is not None}
    everything = rerank(ByTable(**table), "q", passages)
    assert sorted(one.index for one in everything) == list(range(len(logits)))
    assert rerank(ByTable(**table), "q", passages, top_n=top_n) == everything[:top_n]
    scores = [one.score for one in everything if one.score is not None]
    assert scores == sorted(scores, reverse=True)


class Tells(ByTable):
    """Says with each logit what it comes from."""

    def score_detailed(self, query: str, passages: Sequence[str]) -> list[Scored]:
        return [Scored(one, truncated=one > 2, window=(0, 1)) for one in self.score(query, passages)]

    async def ascore_detailed(self, query: str, passages: Sequence[str]) -> list[Scored]:
        return self.score_detailed(query, passages)


def test_a_result_says_what_was_cut_and_which_part_decided(rank):
    ranking = rank(Tells(), "q", ["a", "ccc", "ccc"])
    assert ranking == [
        Ranked(1, 3.0, truncated=True, window=(0, 1)),
        Ranked(2, 3.0, truncated=True, window=(0, 1)),
        Ranked(0, 1.0, truncated=False, window=(0, 1)),
    ]
    assert ranking.truncated == 2


def test_a_ranking_knows_what_was_ranked_also_after_a_pickle(rank):
    ranking = rank(ByTable(), "q", iter(["bb", "", "a"]), top_n=1)
    for one in (ranking, pickle.loads(pickle.dumps(ranking)), copy.copy(ranking), copy.deepcopy(ranking)):
        assert isinstance(one, Ranking)
        assert one == [Ranked(0, 2.0)]
        assert (one.query, one.passages) == ("q", ["bb", "", "a"])


def test_several_queries_are_scored_each_with_its_own_passages():
    assert ByTable(a=9).score_many([("q", ["a", "bb"]), ("r", []), ("s", ["ccc"])]) == [[9, 2], [], [3]]


def test_a_ranking_says_who_answered(rank):
    scorer = ByTable(a=1, b=2)
    ranking = rank(scorer, "q", ["a", "b"])
    assert (ranking.answered_by, {one.source for one in ranking}) == (scorer.name, {None})
    assert pickle.loads(pickle.dumps(ranking)).answered_by == scorer.name
    assert rank(scorer, "q", [" "]).answered_by is None, "nobody was asked"


def test_a_record_that_names_its_source_is_ranked_by_what_that_says(rank):
    class OfTwo(Scorer):
        def _score(self, query, passages):
            best = ScoreSource("best", "probability", threshold=0.3)
            other = ScoreSource("other", "probability", tier=1)
            return [Scored(float(one), source=other if one == "0.9" else best) for one in passages]

    ranking = rank(OfTwo(), "q", ["0.9", "0.2", "0.4"], score_mode="sigmoid", threshold=0.0)
    assert [(one.index, one.score, one.source) for one in ranking] == [(2, 0.4, "best")]
    assert ranking.answered_by == "best"


def test_each_place_has_its_text(rank):
    ranked = rank(ByTable(), "q", ["a", " ", "ccc\ud800", "ccc\ud800"])
    assert [one.text for one in ranked] == ["ccc\ufffd", "ccc\ufffd", "a", " "]
    failed = Raises(ServiceUnavailableError("down"))
    with pytest.warns(PassthroughWarning):
        assert [one.text for one in rank(failed, "q", ABC, on_error="passthrough")] == ABC
    assert ranked[0] == Ranked(2, 4.0)  # it is not compared


def test_a_slice_is_a_ranking_of_the_same_passages(rank):
    ranked = rank(ByTable(a=1.0, b=3.0, c=2.0), "q", ABC, retrieval_scores=[3, 2, 1])
    part = ranked[1:]
    assert type(part) is Ranking
    assert part == [Ranked(2, 2.0), Ranked(0, 1.0)]
    assert vars(part) == vars(ranked)
    assert ranked[-1] == Ranked(0, 1.0)
    assert pickle.loads(pickle.dumps(part)) == part
