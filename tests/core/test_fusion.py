"""The reranker's order and retrieval's, fused; beside formulas computed anew with numpy."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvrerank import (
    Ranked,
    ReciprocalRankFusion,
    Scorer,
    ServiceUnavailableError,
    ZScoreFusion,
    arerank,
    rerank,
)
from nvrerank.fusion import as_data, as_fusion, known_score


class ByTable(Scorer):
    def __init__(self, logits: Sequence[float]) -> None:
        self.logits = {f"p{index}": logit for index, logit in enumerate(logits)}
        self.called = False

    def score(self, query, passages):
        self.called = True
        return [self.logits[passage] for passage in passages]


@pytest.fixture(params=["rerank", "arerank"])
def rank(request):
    if request.param == "rerank":
        return rerank
    return lambda *args, **options: asyncio.run(arerank(*args, **options))


def fused(logits, rank=rerank, **options) -> list[Ranked]:
    return list(rank(ByTable(logits), "q", [f"p{index}" for index in range(len(logits))], **options))


def oracle_rrf(logits, k=60.0, weight=1.0) -> np.ndarray:
    """As the paper has it: the sum over lists of 1 / (k + rank)."""
    logits = np.asarray(logits)
    ranks = np.array([1 + np.sum(logits > one) for one in logits])
    return 1 / (k + ranks) + weight / (k + 1 + np.arange(len(logits)))


def oracle_zscore(logits, scores, weight=0.5) -> np.ndarray:
    def z(numbers):
        numbers = np.asarray(numbers, dtype=np.longdouble)
        if np.all(numbers == numbers[0]):
            return np.zeros(len(numbers))
        return (numbers - numbers.mean()) / numbers.std()

    return (1 - weight) * z(logits) + weight * z(scores)


numbers = st.floats(-1e6, 1e6).map(lambda number: round(number, 3))
lists = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30)


@given(lists, st.integers(0, 100), st.floats(0, 5))
def test_rrf_is_the_papers_sum_over_both_lists(pairs, k, weight):
    logits = [logit for logit, _ in pairs]
    ranked = fused(logits, fuse=ReciprocalRankFusion(k=k, retrieval_weight=weight))
    expected = oracle_rrf(logits, k, weight)
    assert [one.fused for one in ranked] == pytest.approx([expected[one.index] for one in ranked], rel=1e-12)
    assert [one.fused for one in ranked] == sorted((one.fused for one in ranked), reverse=True)


@given(lists, st.floats(0, 1))
def test_zscore_is_the_weighted_sum_of_standard_scores(pairs, weight):
    logits, scores = zip(*pairs, strict=True)
    ranked = fused(logits, fuse=ZScoreFusion(retrieval_weight=weight), retrieval_scores=scores)
    expected = oracle_zscore(logits, scores, weight)
    assert [one.fused for one in ranked] == pytest.approx([expected[one.index] for one in ranked], abs=1e-6)
    assert [one.fused for one in ranked] == sorted((one.fused for one in ranked), reverse=True)


LOGITS = [0.0, 5.0, 4.0, -3.0]


def test_control_the_fused_orders_differ_from_the_rerankers_and_from_each_other():
    by_reranker = [one.index for one in fused(LOGITS)]
    by_rank = [one.index for one in fused(LOGITS, fuse="rrf")]
    by_score = [one.index for one in fused(LOGITS, fuse="zscore", retrieval_scores=[0.1, 0.2, 0.9, 0.3])]
    assert (by_reranker, by_rank, by_score) == ([1, 2, 0, 3], [1, 0, 2, 3], [2, 1, 0, 3])


def test_without_fuse_nothing_is_fused(rank):
    assert [one.fused for one in fused(LOGITS, rank, retrieval_scores=[1, 2, 3, 4])] == [None] * 4


@pytest.mark.parametrize("fuse", ["rrf", "zscore"])
def test_the_score_stays_the_rerankers_own_and_the_threshold_is_compared_with_it(rank, fuse):
    options = {"fuse": fuse, "retrieval_scores": [9.0, 1.0, 1.0, 9.0]}
    everything = fused(LOGITS, rank, **options)
    assert {one.index: one.score for one in everything} == dict(enumerate(LOGITS))
    assert fused(LOGITS, rank, threshold=4.0, **options) == [one for one in everything if one.score >= 4.0]
    sigmoids = fused(LOGITS, rank, score_mode="sigmoid", **options)
    assert [(one.index, one.fused) for one in sigmoids] == [(one.index, one.fused) for one in everything]


def test_top_n_cuts_the_fused_order(rank):
    assert fused(LOGITS, rank, fuse="rrf", top_n=2) == fused(LOGITS, fuse="rrf")[:2]


def test_equal_fused_scores_keep_the_input_order(rank):
    ranked = fused([1.0, 2.0], rank, fuse="rrf")  # ranks 2 and 1 against places 1 and 2
    assert ranked[0].fused == ranked[1].fused
    assert [one.index for one in ranked] == [0, 1]


def test_equal_logits_share_a_rank_so_that_retrieval_decides(rank):
    assert [one.index for one in fused([1.0, 1.0, 1.0], rank, fuse="rrf")] == [0, 1, 2]
    assert [one.fused for one in fused([1.0] * 3, rank, fuse="rrf")] == pytest.approx(
        [1 / 61 + 1 / 61, 1 / 61 + 1 / 62, 1 / 61 + 1 / 63]
    )


def test_blank_passages_stay_last_and_count_as_places_only(rank):
    ranked = rank(ByTable([1.0, 3.0]), "q", ["", "p0", " ", "p1"], fuse="rrf")
    assert [(one.index, one.fused) for one in ranked] == [
        (1, pytest.approx(1 / 62 + 1 / 62)),
        (3, pytest.approx(1 / 61 + 1 / 64)),
        (0, None),
        (2, None),
    ]


def test_blank_passages_need_no_retrieval_score(rank):
    ranked = rank(
        ByTable([1.0, 3.0]), "q", ["", "p0", "p1"], fuse="zscore", retrieval_scores=[None, 2.0, 1.0]
    )
    assert [(one.index, one.fused) for one in ranked] == [(1, 0.0), (2, 0.0), (0, None)]


def test_duplicates_are_scored_once_and_fused_each_at_its_own_place(rank):
    ranked = rank(
        ByTable([1.0, 2.0]), "q", ["p0", "p1", "p0"], fuse="zscore", retrieval_scores=[3.0, 2.0, 1.0]
    )
    expected = oracle_zscore([1.0, 2.0, 1.0], [3.0, 2.0, 1.0])
    assert {one.index: one.fused for one in ranked} == pytest.approx(dict(enumerate(expected)))


@pytest.mark.parametrize("logits", [[7.0], [2.0, 2.0, 2.0], [0.1, 0.1, 0.1]])
def test_scores_that_are_all_equal_decide_nothing(logits):
    scores = [float(index) for index in range(len(logits))]
    ranked = fused(logits, fuse="zscore", retrieval_scores=scores)
    assert [one.index for one in ranked] == list(range(len(logits)))[::-1]
    assert all(np.isfinite(one.fused) for one in ranked)


def test_huge_scores_do_not_overflow():
    ranked = fused([1.0, 2.0], fuse="zscore", retrieval_scores=[1e308, -1e308])
    assert [one.fused for one in ranked] == [0.0, 0.0]


def test_the_ranking_knows_what_retrieval_scored(rank):
    ranking = rank(ByTable([1.0, 2.0]), "q", ["p0", "p1"], retrieval_scores=iter([np.float32(0.5), None]))
    assert ranking.retrieval_scores == [0.5, None]
    assert rank(ByTable([1.0]), "q", ["p0"]).retrieval_scores is None
    assert pickle.loads(pickle.dumps(ranking)).retrieval_scores == [0.5, None]


def test_a_passthrough_keeps_the_retrieval_order(rank):
    class Down(Scorer):
        def score(self, query, passages):
            raise ServiceUnavailableError("down")

    with pytest.warns(UserWarning, match="the retrieval order is kept"):
        ranked = rank(Down(), "q", ["a", "b"], fuse="zscore", retrieval_scores=[1, 2], on_error="passthrough")
    assert list(ranked) == [Ranked(0, None), Ranked(1, None)]
    assert ranked.retrieval_scores == [1.0, 2.0]


def test_no_passages_need_no_scores(rank):
    assert rank(ByTable([]), "q", [], fuse="zscore") == []
    assert rank(ByTable([]), "q", [" "], fuse="zscore") == [Ranked(0, None)]


@pytest.mark.parametrize(
    ("scores", "kind", "message"),
    [
        ([1.0], ValueError, "1 retrieval_scores for 2 passages"),
        ([1.0, 2.0, 3.0], ValueError, "3 retrieval_scores for 2 passages"),
        ([1.0, float("nan")], ValueError, r"retrieval_scores\[1\] must be a finite number or None, not nan"),
        ([float("inf"), 1.0], ValueError, r"retrieval_scores\[0\] must be a finite number"),
        (["0.5", 1.0], TypeError, r"retrieval_scores\[0\] must be a number or None, not '0.5'"),
        ([True, 1.0], TypeError, r"retrieval_scores\[0\] must be a number"),
        ([1.0, [2.0]], TypeError, r"retrieval_scores\[1\] must be a number"),
        (None, ValueError, r"passages\[0\] has none: give it in retrieval_scores, or use fuse='rrf'"),
        ([1.0, None], ValueError, r"passages\[1\] has none"),
    ],
)
def test_bad_retrieval_scores_are_an_error_before_anything_is_scored(rank, scores, kind, message):
    scorer = ByTable([1.0, 2.0])
    with pytest.raises(kind, match=message):
        rank(scorer, "q", ["p0", "p1"], fuse="zscore", retrieval_scores=scores)
    assert not scorer.called


@pytest.mark.parametrize(
    ("fuse", "kind", "message"),
    [
        ("RRF", ValueError, "fuse must be None, 'rrf', 'zscore'"),
        (True, ValueError, "fuse must be"),
        ({"method": "borda"}, ValueError, "fuse must be"),
        ({"k": 60}, ValueError, "fuse must be"),
        ({"method": "rrf", "q": 1}, TypeError, "'q'"),
        (
            {"method": "zscore", "retrieval_weight": 2},
            ValueError,
            "retrieval_weight must be from 0 to 1, not 2",
        ),
    ],
)
def test_another_fuse_is_refused(rank, fuse, kind, message):
    with pytest.raises(kind, match=message):
        rank(ByTable([1.0]), "q", ["p0"], fuse=fuse)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: ReciprocalRankFusion(k=-1), ValueError, "k must be 0 or more, not -1"),
        (lambda: ReciprocalRankFusion(k=float("nan")), ValueError, "k must be 0 or more"),
        (lambda: ReciprocalRankFusion(retrieval_weight="1"), TypeError, "retrieval_weight must be a number"),
        (lambda: ZScoreFusion(1.5), ValueError, "from 0 to 1, not 1.5"),
        (lambda: ZScoreFusion(True), TypeError, "retrieval_weight must be a number"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


@pytest.mark.parametrize(
    "fusion", [None, ReciprocalRankFusion(), ReciprocalRankFusion(10, 0.5), ZScoreFusion(), ZScoreFusion(0.2)]
)
def test_a_fusion_written_as_json_is_read_again(fusion):
    assert as_fusion(json.loads(json.dumps(as_data(fusion)))) == fusion


def test_a_name_means_the_usual_parameters():
    assert as_fusion("rrf") == ReciprocalRankFusion(k=60, retrieval_weight=1)
    assert as_fusion("zscore") == ZScoreFusion(retrieval_weight=0.5)


@pytest.mark.parametrize(
    ("value", "score"),
    [
        (1, 1.0),
        (np.float32(0.5), 0.5),
        (float("nan"), None),
        (True, None),
        ("0.5", None),
        (None, None),
        (Decimal(1), 1.0),  # a database's
        ([1.0], None),
    ],
)
def test_a_frameworks_score_is_a_finite_number_or_not_known(value, score):
    assert known_score(value) == score
