"""Windowed: one score for a long passage, from windows that go to the inner scorer together."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checkpoints import write_decoder
from support.token_counters import ByWords

from nvrerank import BadResponseError, LocalScorer, RequestRejectedError, Scored, Scorer, Windowed, rerank
from nvrerank.windows import Cutting

QUERY = "who found gold"
LONG = "Nobody knows it yet. The sea is wide and deep. Rust never sleeps at all. He found gold."
PASSAGES = ["short words", LONG, "gold", LONG]


def test_the_best_window_decides_and_is_told(detailed):
    scored = detailed(Windowed(ByWords(8)), QUERY, PASSAGES)
    assert [one.logit for one in scored] == [0.0, 2.0, 1.0, 2.0]
    start, end = scored[1].window
    assert LONG[start:end].endswith("He found gold.")
    assert scored[0].window is scored[2].window is None


def test_control_without_windows_the_end_is_not_found(detailed):
    assert [one.logit for one in detailed(ByWords(8), QUERY, PASSAGES)] == [0.0, 0.0, 1.0, 0.0]


def test_all_windows_go_to_the_scorer_in_one_call_each_distinct_one_once(detailed):
    inner = ByWords(8)
    detailed(Windowed(inner), QUERY, [*PASSAGES, LONG])
    [asked] = inner.asked
    assert len(asked) == len(set(asked)) > len(set(PASSAGES))
    assert all(len(text.split()) <= 8 for text in asked)


def test_passages_that_fit_are_passed_on_as_they_are(detailed):
    inner = ByWords(8)
    detailed(Windowed(inner), QUERY, [" one \n", "two  three"])
    assert inner.asked == [[" one \n", "two  three"]]


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    folder = write_decoder(tmp_path_factory.mktemp("model"))
    return LocalScorer(folder, device="cpu", dtype="float32", max_length=48)


@settings(max_examples=30, deadline=None)
@given(
    text=st.lists(st.sampled_from(["the sea. ", "rust ", "東京都。", "🙂", "\n"]), min_size=1).map("".join)
)
def test_the_score_is_the_most_of_the_windows_scored_one_at_a_time(local, text):
    if not text.strip():
        return
    spans = Cutting().plan(local.token_counter(QUERY), [text])._spans[0]
    alone = [local.score(QUERY, [text[start:end]])[0] for start, end in spans]
    assert Windowed(local).score(QUERY, [text]) == pytest.approx([max(alone)], abs=1e-5)
    assert Windowed(local, pool="mean").score(QUERY, [text]) == pytest.approx(
        [sum(alone) / len(alone)], abs=1e-5
    )
    assert Windowed(local, pool="first").score(QUERY, [text]) == pytest.approx([alone[0]], abs=1e-5)


def test_the_characters_told_are_the_text_that_was_scored(local):
    passage = "the sea belongs to the shore. " * 20 + "rust"
    [one] = Windowed(local).score_detailed(QUERY, [passage])
    assert local.score(QUERY, [passage[slice(*one.window)]]) == pytest.approx([one.logit], abs=1e-5)


@pytest.mark.parametrize("passage", ["a \ud83d\ude00 b " * 9, "lone \ud800 half " * 9, "a\r\nb " * 20])
def test_windows_of_odd_texts_are_told_in_the_text_as_it_is_ranked(passage):
    inner = ByWords(8)
    ranking = rerank(Windowed(inner), QUERY, [passage])
    assert ranking.passages[0][slice(*ranking[0].window)] in inner.asked[0]


def test_a_size_cuts_below_what_the_model_reads():
    inner = ByWords(1000)
    Windowed(inner, size=4).score(QUERY, [LONG])
    assert max(len(text.split()) for text in inner.asked[0]) == 4


def test_a_scorer_that_does_not_know_what_it_reads_needs_a_size(detailed):
    class Bare(Scorer):
        def score(self, query, passages):
            return [float(len(one)) for one in passages]

    with pytest.raises(ValueError, match="give size="):
        detailed(Windowed(Bare()), QUERY, [LONG])
    assert detailed(Windowed(Bare(), size=20), QUERY, [LONG])[0].window is not None


def test_an_error_about_a_window_names_the_callers_own_passage():
    class Refuses(ByWords):
        def score(self, query, passages):
            raise RequestRejectedError("too long", index=len(passages) - 1)

    with pytest.raises(RequestRejectedError) as caught:
        rerank(Windowed(Refuses(8)), QUERY, ["", "short", "short", LONG])
    assert caught.value.index == 3


@pytest.mark.parametrize(("others", "index"), [([], 1), ([("deep sea", ["gold"])], None)])
def test_an_error_about_one_of_many_queries_windows_never_names_another_passage(others, index):
    class Refuses(ByWords):
        def score_many(self, jobs):
            raise RequestRejectedError("too long", index=2)

    with pytest.raises(RequestRejectedError, match="too long") as caught:
        Windowed(Refuses(8)).score_many([(QUERY, ["short", LONG, "gold"]), *others])
    assert caught.value.index == index


@pytest.mark.parametrize("answer", [[1.0], [float("nan")] * 9])
def test_an_inner_scorers_bad_answer_is_an_error_not_a_score(detailed, answer):
    class Broken(ByWords):
        def score(self, query, passages):
            return answer

    with pytest.raises(BadResponseError):
        detailed(Windowed(Broken(8), overlap=0), QUERY, [LONG])


def test_a_cancelled_call_cancels_the_inner_scorers():
    class Waits(ByWords):
        cancelled = False

        async def ascore_detailed(self, query, passages):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled = True
                raise
            return [Scored(0.0) for _ in passages]

    async def cancel_soon(scorer):
        task = asyncio.create_task(scorer.ascore(QUERY, [LONG]))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    inner = Waits(8)
    asyncio.run(cancel_soon(Windowed(inner)))
    assert inner.cancelled


def test_planning_leaves_the_event_loop_free():
    class Ruled(ByWords):
        def token_counter(self, query):
            planned_in.append(threading.current_thread())
            return super().token_counter(query)

    planned_in: list[threading.Thread] = []
    asyncio.run(Windowed(Ruled(8)).ascore(QUERY, [LONG]))
    assert planned_in != [threading.main_thread()]


def test_many_queries_are_one_call_of_the_inner_scorer():
    class Many(ByWords):
        calls = 0

        def score_many(self, jobs):
            self.calls += 1
            return super().score_many(jobs)

    inner = Many(8)
    jobs = [(QUERY, PASSAGES), ("deep sea", [LONG]), (QUERY, [])]
    expected = [Windowed(ByWords(8)).score(*job) for job in jobs]
    assert Windowed(inner).score_many(iter(jobs)) == expected
    assert inner.calls == 1


def test_windows_of_windows_are_told_in_characters_of_the_passage():
    [one] = Windowed(Windowed(ByWords(4)), size=4).score_detailed(QUERY, [LONG])
    assert LONG[slice(*one.window)].endswith("He found gold.")


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_cuts_as_the_original(twin):
    scorer = Windowed(ByWords(1000), size=4, overlap=1, pool="mean")
    assert repr(twin(scorer)).split("size")[1] == repr(scorer).split("size")[1]
    assert twin(scorer).score_detailed(QUERY, [LONG]) == scorer.score_detailed(QUERY, [LONG])


def test_it_goes_by_the_name_of_the_scorer_within():
    inner = LocalScorer(device="cpu")
    assert Windowed(inner).name == inner.name
    assert Windowed(inner).scorer is inner


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"scorer": "a model"}, TypeError, "scorer must be a Scorer, not str"),
        ({"size": 0}, ValueError, "size must be 1 or more"),
        ({"overlap": -1}, ValueError, "overlap must be 0 or more"),
        ({"pool": "best"}, ValueError, "pool must be"),
    ],
)
def test_a_bad_argument_is_refused_at_construction(options, kind, message):
    with pytest.raises(kind, match=message):
        Windowed(**{"scorer": ByWords(), **options})
