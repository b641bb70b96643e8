"""Many callers, one model: packed, fair, and each on its own when something goes wrong."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from core.test_instructions import TOLD, Told
from fake_nim import truth
from server.conftest import Truth
from support.checkpoints import write_decoder

from nvrerank import LocalScorer, ScoringError
from nvrerank.errors import ServiceUnavailableError
from nvrerank.server.call_queue import CallQueue, QueuedCall
from nvrerank.server.packing import PackedScorer


class Watch:
    def __init__(self):
        self.waits, self.batches, self.gone = [], [], 0

    def waited(self, seconds):
        self.waits.append(seconds)

    def computed(self, calls, passages, tokens, seconds):
        self.batches.append((calls, passages, tokens))

    def left(self, passages):
        self.gone += 1


@pytest.fixture
def packed():
    """Packs for a scorer, on one thread: packed(scorer, batch_tokens=..., ...)."""
    made = []

    def pack(scorer, batch_tokens=10_000, max_wait=0.003, max_passages=512, max_seconds=20):
        watch = Watch()
        made.append(
            PackedScorer(
                scorer, CallQueue(batch_tokens, max_wait, max_passages, max_seconds, watch), watch, 1
            )
        )
        made[-1].watch = watch
        return made[-1]

    yield pack
    for one in made:
        one.close()


def queries(scorer):
    return [[query for query, _ in batch] for batch in scorer.batches]


def held(scorer, packed_scorer):
    """Has the model busy with one call, which is answered once `scorer.open` is set."""
    scorer.open.clear()
    first = packed_scorer._submit("first", ["a"])
    assert scorer.entered.acquire(timeout=5)
    return first


def test_what_waits_goes_into_one_call_and_each_gets_its_own_scores(packed):
    scorer = Truth()
    scoring = packed(scorer)
    first = held(scorer, scoring)
    answers = [scoring._submit(f"q{number}", [f"text {number}", "same"]) for number in range(20)]
    scorer.open.set()
    assert [one.result(5) for one in [first]]
    for number, answer in enumerate(answers):
        expected = [truth(f"q{number}", f"text {number}"), truth(f"q{number}", "same")]
        assert [one.logit for one in answer.result(5)] == expected
    assert queries(scorer) == [["first"], [f"q{number}" for number in range(20)]]


def test_calls_with_different_instructions_in_one_batch_get_their_own(packed):
    one = packed(Told())
    batch = [QueuedCall("q", ["one"], told) for told in (TOLD, None, "another", TOLD)]
    for call in batch:
        one.queue.put(call)
    one.start()
    scores = [call.answer.result(10)[0].logit for call in batch]
    assert scores == [3.0 + len(told) for told in (TOLD, "", "another", TOLD)]
    assert one.scorer.asked == [TOLD, TOLD, None, "another"]
    assert [calls for calls, _, _ in one.watch.batches] == [2, 1, 1]


def test_a_call_holds_about_as_many_tokens_as_it_may_in_order_of_arrival(packed):
    scorer = Truth()
    scoring = packed(scorer, batch_tokens=25)
    held(scorer, scoring)
    answers = [scoring._submit(str(number), ["x" * 40]) for number in range(5)]  # 11 tokens each
    answers.append(scoring._submit("large", ["x" * 400]))  # 101: by itself
    answers.append(scoring._submit("last", ["x"]))
    scorer.open.set()
    [answer.result(5) for answer in answers]
    assert queries(scorer) == [["first"], ["0", "1"], ["2", "3"], ["4"], ["large"], ["last"]]


def test_an_idle_model_waits_a_few_milliseconds_for_others_and_not_with_a_full_batch(packed):
    scorer = Truth()
    scoring = packed(scorer, max_wait=0.3)
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda query: scoring.score(query, ["a"]), ["one", "two"]))
    assert 0.2 < time.monotonic() - began < 5
    assert sorted(queries(scorer)[0]) == ["one", "two"]
    began = time.monotonic()
    packed(Truth(), batch_tokens=1, max_wait=20).score("q", ["a"])
    assert time.monotonic() - began < 5


def test_a_bad_request_fails_alone(packed):
    scorer = Truth()
    scoring = packed(scorer)
    held(scorer, scoring)
    good, bad, other = (scoring._submit("q", [text]) for text in ("good", "poison", "other"))
    scorer.open.set()
    assert [one.logit for one in good.result(5)] == [truth("q", "good")]
    assert [one.logit for one in other.result(5)] == [truth("q", "other")]
    with pytest.raises(ScoringError, match="ZeroDivisionError"):
        bad.result(5)


def test_a_scorer_that_wants_to_exit_fails_its_call_and_the_next_is_answered(packed):
    class Exits(Truth):
        def _score_many(self, calls):
            if calls[0][0] == "exit":
                raise SystemExit
            return super()._score_many(calls)

    scoring = packed(Exits())
    with pytest.raises(ScoringError):
        scoring.score("exit", ["a"])
    assert scoring.score("q", ["a"]) == [truth("q", "a")]


def test_a_caller_who_leaves_is_dropped_from_the_queue_and_counted(packed):
    scorer = Truth()
    scoring = packed(scorer)

    async def leave():
        going = asyncio.create_task(scoring.ascore("gone", ["a", "b"]))
        staying = asyncio.create_task(scoring.ascore("stays", ["a"]))
        while len(scoring.queue) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert scoring.queue.passages == 3
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        assert (len(scoring.queue), scoring.queue.passages) == (1, 1)
        scorer.open.set()
        assert await staying == [truth("stays", "a")]

    held(scorer, scoring)
    asyncio.run(leave())
    assert scoring.watch.gone == 1
    assert queries(scorer) == [["first"], ["stays"]]


def test_too_many_passages_are_refused_at_once_with_a_time_to_come_back(packed):
    scorer = Truth()
    scoring = packed(scorer, max_passages=10)
    first = held(scorer, scoring)
    waiting = [scoring._submit("q", ["a"] * 8), scoring._submit("q", ["a", "b"])]
    assert scoring.queue.full
    with pytest.raises(ServiceUnavailableError, match="10 passages are waiting") as refused:
        scoring.score("q", ["one more"])
    assert refused.value.retry_after >= 1
    scorer.open.set()
    assert all(one.result(5) for one in [first, *waiting])
    assert scoring.score("q", ["later"]) == [truth("q", "later")]


def test_a_slow_model_has_a_shorter_queue(packed):
    scorer = Truth()
    scoring = packed(scorer, max_passages=512, max_seconds=2)
    first = held(scorer, scoring)
    time.sleep(0.5)
    scorer.open.set()
    first.result(5)
    while not scoring.watch.batches:
        time.sleep(0.001)  # it has learnt: about 2 passages a second, so that 4 are 2 seconds' work
    second = held(scorer, scoring)
    waiting = scoring._submit("q", ["a", "b", "c"])
    with pytest.raises(ServiceUnavailableError):
        scoring.score("q", ["d", "e"])
    scorer.open.set()
    assert second.result(5)
    assert waiting.result(5)


def test_a_request_larger_than_the_bound_is_taken_when_nothing_waits(packed):
    assert len(packed(Truth(), max_passages=2).score("q", ["a", "b", "c"])) == 3


def test_closing_refuses_what_waits_and_what_comes_and_it_starts_again(packed):
    scorer = Truth()
    scoring = packed(scorer)
    first = held(scorer, scoring)
    waiting = scoring._submit("q", ["a"])
    scoring.close()
    with pytest.raises(ServiceUnavailableError, match="stopping"):
        waiting.result(5)
    with pytest.raises(ServiceUnavailableError, match="stopping"):
        scoring.score("q", ["b"])
    scorer.open.set()
    assert first.result(5)
    scoring.start()
    assert scoring.score("q", ["b"]) == [truth("q", "b")]


def test_scores_do_not_depend_on_the_neighbours(packed, tmp_path):
    scorer = LocalScorer(write_decoder(tmp_path), device="cpu", dtype="float32", max_length=64)
    calls = [(f"question {number}", [f"passage {number} " * n for n in (1, 3, 9)]) for number in range(6)]
    alone = [scorer.score(*call) for call in calls]
    scoring = packed(scorer, max_wait=0.2)
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda call: scoring.score(*call), calls))
    assert max(calls for calls, *_ in scoring.watch.batches) > 1
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    assert alone[0] != pytest.approx(alone[1], abs=1e-3)


def test_a_scorer_that_waits_for_a_server_has_many_calls_under_way():
    class Slow(Truth):
        _score_many = Truth.__mro__[1]._score_many  # one after another, as a scorer without batching has it

        def _score(self, query, passages):
            barrier.wait(10)
            return [1.0 for _ in passages]

    barrier = threading.Barrier(8)
    scoring = PackedScorer(Slow(), CallQueue(1, 0.0, 512, 20, Watch()), Watch())
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda query: scoring.score(str(query), ["a"]), range(8))) == [[1.0]] * 8
    scoring.close()
