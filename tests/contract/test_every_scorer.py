"""What every scorer promises, whichever way it scores: each test runs for all of them, sync and async."""

from __future__ import annotations

import asyncio
import json
import math
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest
from fake_nim import truth
from support.checkpoints import mistral_config, write_cross_encoder, write_decoder

from nvrerank import (
    Cached,
    Cascade,
    Fallback,
    HostedScorer,
    Limited,
    LocalScorer,
    Scorer,
    Windowed,
    rerank,
)
from nvrerank.scorer import settled_identity

QUERY = "how do I make a class iterable?"
PASSAGES = ["A class is iterable when it defines __iter__.", "Bananas.", "rust " * 40, "naïve 東京 🙂"]
exact = partial(LocalScorer, device="cpu", dtype="float32")  # bfloat16 moves with a batch's size


def ranking(request: httpx.Request) -> httpx.Response:
    """What a NIM answers, at once."""
    body = json.loads(request.content)
    scores = [truth(body["query"]["text"], passage["text"]) for passage in body["passages"]]
    rankings = [{"index": index, "logit": score} for index, score in enumerate(scores)]
    return httpx.Response(200, json={"rankings": rankings[::-1]})


def probabilities(request: httpx.Request) -> httpx.Response:
    """What Cohere's service answers, at once."""
    body = json.loads(request.content)
    scores = [1 / (1 + math.exp(-truth(body["query"], passage))) for passage in body["documents"]]
    results = [{"index": index, "relevance_score": score} for index, score in enumerate(scores)]
    return httpx.Response(200, json={"results": results[::-1]})


def hosted() -> HostedScorer:
    transport = httpx.MockTransport(ranking)
    return HostedScorer("m", base_url="http://nim/v1", max_batch_size=3, transport=transport)


SCORERS: dict[str, Callable[..., Scorer]] = {
    "hosted": lambda _folder: hosted(),
    "cohere": lambda _folder: HostedScorer(
        "m", base_url="http://h/v1/rerank", max_batch_size=3, transport=httpx.MockTransport(probabilities)
    ),
    "bundled": lambda _folder: exact(),
    "llama": lambda folder: exact(write_decoder(folder)),
    "mistral": lambda folder: exact(write_decoder(folder, **mistral_config())),
    "bert": lambda folder: exact(write_cross_encoder(folder, "bert")),
    "xlm-roberta": lambda folder: exact(write_cross_encoder(folder, "xlm-roberta")),
    "modernbert": lambda folder: exact(write_cross_encoder(folder, "modernbert")),
    "windowed": lambda folder: Windowed(exact(write_decoder(folder)), size=24),
    "cached": lambda _folder: Cached(hosted()),
    "cached in a file": lambda folder: Cached(exact(), folder / "scores.db"),
    "limited": lambda _folder: Limited(hosted(), requests_per_minute=10_000, max_concurrency=2),
    "fallback": lambda _folder: Fallback(hosted(), exact()),
    "cascade": lambda folder: Cascade(exact(write_decoder(folder)), hosted(), keep=2),
    "all of them": lambda folder: Fallback(
        Cached(Limited(hosted(), max_concurrency=2), folder / "scores.db"),
        Cascade(
            exact(),
            Windowed(exact()),
            keep=2,
        ),
    ),
}


@pytest.fixture(scope="module", params=SCORERS)
def scorer(request, tmp_path_factory) -> Scorer:
    return SCORERS[request.param](tmp_path_factory.mktemp("model"))


@pytest.fixture(params=["score", "ascore"])
def score(request, scorer):
    if request.param == "score":
        return scorer.score
    return lambda query, passages: asyncio.run(scorer.ascore(query, passages))


def test_one_finite_float_a_passage_in_input_order(score):
    scores = score(QUERY, PASSAGES)
    assert len(scores) == len(PASSAGES)
    assert all(type(one) is float and math.isfinite(one) for one in scores)
    assert score(QUERY, PASSAGES[::-1]) == pytest.approx(scores[::-1], abs=1e-5)


def test_each_score_depends_on_its_own_pair_alone_unless_it_says_that_it_is_listwise(scorer, score):
    together = score(QUERY, PASSAGES)
    alone = [score(QUERY, [passage])[0] for passage in PASSAGES]
    assert (together == pytest.approx(alone, abs=1e-5)) is not (type(scorer) is Cascade)
    assert scorer.listwise or type(scorer) is not Cascade


def test_the_query_matters(score):
    assert score(QUERY, PASSAGES) != pytest.approx(score("who eats bananas?", PASSAGES), abs=1e-3)


def test_no_passages_give_no_scores(score):
    assert score(QUERY, []) == []


@pytest.mark.parametrize("query", ["", " \n"])
def test_a_blank_query_is_refused(score, query):
    with pytest.raises(ValueError, match="query is blank"):
        score(query, PASSAGES)


def test_a_blank_passage_is_refused_because_it_has_no_score(score):
    with pytest.raises(ValueError, match=r"passages\[1\] is blank"):
        score(QUERY, ["one", "\n"])


@pytest.mark.parametrize("passage", [None, b"bytes", 7])
def test_a_passage_of_the_wrong_type_is_refused(score, passage):
    with pytest.raises(TypeError, match=r"passages\[0\] must be a str"):
        score(QUERY, [passage])


def test_inputs_stay_as_they_were(score):
    passages = list(PASSAGES)
    score(QUERY, passages)
    assert passages == PASSAGES


def test_threads_get_their_own_scores(scorer):
    queries = [f"{QUERY} {number}" for number in range(4)]
    expected = [scorer.score(query, PASSAGES) for query in queries]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda query: scorer.score(query, PASSAGES), queries))
    assert together == [pytest.approx(scores, abs=1e-5) for scores in expected]


def test_a_pickle_scores_the_same(scorer):
    assert pickle.loads(pickle.dumps(scorer)).score(QUERY, PASSAGES) == pytest.approx(
        scorer.score(QUERY, PASSAGES), abs=1e-5
    )


def test_rerank_takes_it(scorer):
    ranked = rerank(scorer, QUERY, [*PASSAGES, "", PASSAGES[0]])
    scores = scorer.score(QUERY, PASSAGES)
    assert ranked[0].score == pytest.approx(max(scores), abs=1e-5)
    assert ranked[-1].index == len(PASSAGES)
    assert ranked[-1].score is None


def test_a_sigmoid_lies_within_0_and_1_and_a_probability_stays_one(scorer):
    sigmoids = rerank(scorer, QUERY, PASSAGES, score_mode="sigmoid")
    raw = rerank(scorer, QUERY, PASSAGES)
    assert all(0 <= one.score <= 1 for one in sigmoids)
    assert [one.index for one in sigmoids] == [one.index for one in raw]
    same = [one.score for one in sigmoids] == pytest.approx([one.score for one in raw])
    assert same is (scorer.scale == "probability")


def test_it_is_calibrated(scorer):
    assert scorer.calibrated


def test_it_has_a_name_for_traces(scorer):
    assert scorer.name


def test_a_ranking_names_who_answered(scorer):
    assert rerank(scorer, QUERY, PASSAGES).answered_by in scorer.name


def test_many_queries_score_as_one_by_one(scorer):
    jobs = [(QUERY, PASSAGES), ("who eats bananas?", PASSAGES[:3]), (QUERY, [])]
    expected = [scorer.score(*job) for job in jobs]
    assert scorer.score_many(jobs) == [pytest.approx(scores, abs=1e-5) for scores in expected]


def test_what_decides_its_scores_is_known_unless_several_scorers_do(scorer):
    known = scorer.identity
    assert (known is None) is isinstance(scorer, Fallback | Cascade)
    assert known is None or json.dumps(settled_identity(known))
    twin = pickle.loads(pickle.dumps(scorer)).identity
    assert twin == known or settled_identity(twin) == settled_identity(known)


def test_it_closes_from_a_with_statement(scorer):
    with pickle.loads(pickle.dumps(scorer)) as twin:
        assert twin.score(QUERY, PASSAGES[:1])
