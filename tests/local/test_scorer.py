"""LocalScorer: threads, event loops, cancellation, settings, copies, and texts of every kind."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from support.checkpoints import write_decoder

from nvrerank import LocalScorer, RequestRejectedError, rerank
from nvrerank.local import scorer as scorer_module
from nvrerank.local import settings

QUERY = "who wrote it?"
PASSAGES = [f"the sea belongs to shore number {number} " * (number % 5 + 1) for number in range(40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_decoder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def scorer(folder):
    return LocalScorer(folder, device="cpu", dtype="float32", batch_tokens=64, long_passages="truncate")


@pytest.fixture(params=["score", "ascore"])
def score(request):
    """Runs `score`, then `ascore`, so that both keep every promise."""
    if request.param == "score":
        return lambda scorer, query, passages: scorer.score(query, passages)
    return lambda scorer, query, passages: asyncio.run(scorer.ascore(query, passages))


def test_nothing_is_loaded_before_the_first_use(folder, monkeypatch):
    opened = []
    original = scorer_module.Checkpoint.open
    monkeypatch.setattr(
        scorer_module.Checkpoint, "open", lambda folder: opened.append(folder) or original(folder)
    )
    scorer = LocalScorer(folder, device="cpu", dtype="float32")
    assert opened == []
    scorer.score(QUERY, PASSAGES)
    scorer.load().score(QUERY, PASSAGES)
    assert len(opened) == 1


def test_no_passages_give_no_scores(scorer, score):
    assert score(scorer, QUERY, []) == []


def test_scores_are_python_floats(scorer, score):
    assert {type(one) for one in score(scorer, QUERY, PASSAGES)} == {float}


@pytest.mark.parametrize("query", ["", " \n\t", "\u2003"])
def test_a_blank_query_is_refused(scorer, score, query):
    with pytest.raises(ValueError, match="query is blank"):
        score(scorer, query, PASSAGES)


def test_a_blank_passage_is_refused_by_its_index(scorer, score):
    with pytest.raises(ValueError, match=r"passages\[1\] is blank"):
        score(scorer, QUERY, ["one", "  "])


@pytest.mark.parametrize("passage", [None, b"bytes", 3, 2.5, ["x"]])
def test_a_passage_that_is_no_string_is_refused_by_its_index(scorer, score, passage):
    with pytest.raises(TypeError, match=r"passages\[1\] must be a str"):
        score(scorer, QUERY, ["one", passage])


@pytest.mark.parametrize(
    "passage",
    [
        "\ud800 lone",
        "nul \x00 inside",
        "zero \u200b width",
        "x" * 100_000,
        "emoji \U0001f600",
        "\ufeffbom",
        "a\r\nb\tc",
    ],
    ids=["surrogate", "nul inside", "zero width", "long", "emoji", "bom", "control"],
)
def test_odd_texts_get_a_finite_score(scorer, score, passage):
    [one] = score(scorer, QUERY, [passage])
    assert isinstance(one, float)


def test_a_lone_surrogate_counts_as_the_replacement_character(scorer, score):
    assert score(scorer, QUERY, ["a \ud800 b"]) == score(scorer, QUERY, ["a \ufffd b"])


def test_a_generator_is_scored_once_and_in_order(scorer, score):
    assert score(scorer, QUERY, (text for text in PASSAGES)) == score(scorer, QUERY, PASSAGES)


def test_ten_thousand_passages_are_scored_in_order(folder):
    scorer = LocalScorer(folder, device="cpu", dtype="float32")
    passages = [f"{number}" for number in range(10_000)]
    scores = scorer.score(QUERY, passages)
    assert len(scores) == 10_000
    assert scores[4_321] == pytest.approx(scorer.score(QUERY, ["4321"])[0], abs=1e-5)


def test_threads_share_one_scorer_and_get_their_own_scores(scorer):
    queries = [f"{QUERY} {number}" for number in range(8)]
    alone = [scorer.score(query, PASSAGES) for query in queries]
    fresh = LocalScorer(scorer._source.folder, device="cpu", dtype="float32", batch_tokens=64)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda query: fresh.score(query, PASSAGES), queries))
    for mine, expected in zip(together, alone, strict=True):
        assert mine == pytest.approx(expected, abs=1e-5)


def test_several_event_loops_share_one_scorer(scorer):
    expected = scorer.score(QUERY, PASSAGES)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(asyncio.run, scorer.ascore(QUERY, PASSAGES)) for _ in range(8)]
        assert all(call.result() == pytest.approx(expected, abs=1e-5) for call in calls)


def slow_forward(scorer, seconds):
    """Makes each batch of a loaded scorer take its time; returns the batches seen."""
    model = scorer.load()._model
    seen = []

    def forward(batch):
        seen.append(len(batch))
        time.sleep(seconds)
        return torch.zeros(len(batch))

    object.__setattr__(model, "forward", forward)
    return seen


async def test_ascore_leaves_the_loop_free(scorer):
    slow_forward(scorer, 0.02)
    ticks = 0
    call = asyncio.ensure_future(scorer.ascore(QUERY, PASSAGES))
    while not call.done():
        await asyncio.sleep(0.005)
        ticks += 1
    assert len(call.result()) == len(PASSAGES)
    assert ticks > 10


async def test_a_cancelled_call_returns_at_once_and_stops_computing(scorer):
    seen = slow_forward(scorer, 0.03)
    call = asyncio.ensure_future(scorer.ascore(QUERY, PASSAGES))
    await asyncio.sleep(0.1)
    started = time.perf_counter()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert time.perf_counter() - started < 0.05
    await asyncio.sleep(0.1)
    computed = len(seen)
    await asyncio.sleep(0.1)
    assert len(seen) == computed < len(PASSAGES) / 2


async def test_a_cancelled_call_leaves_the_scorer_usable(scorer):
    expected = scorer.score(QUERY, PASSAGES)
    calls = [asyncio.ensure_future(scorer.ascore(QUERY, PASSAGES)) for _ in range(6)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
    assert all(result == pytest.approx(expected, abs=1e-5) for result in results[1::2])


def test_score_works_inside_a_running_loop(scorer):
    async def inside():
        return scorer.score(QUERY, PASSAGES)

    assert asyncio.run(inside()) == scorer.score(QUERY, PASSAGES)


def test_a_pair_that_is_too_long_is_an_error_on_request(folder, score):
    strict = LocalScorer(folder, device="cpu", dtype="float32", max_length=64, truncate="NONE")
    with pytest.raises(
        RequestRejectedError, match=r"passages\[1\]: .* are \d+ tokens long, the model reads 64"
    ) as caught:
        score(strict, QUERY, ["short", "the sea " * 100])
    assert caught.value.index == 1


def test_rerank_names_the_callers_own_index(folder):
    strict = LocalScorer(folder, device="cpu", dtype="float32", max_length=64, truncate="NONE")
    with pytest.raises(RequestRejectedError, match=r"passages\[4\]") as caught:
        rerank(strict, QUERY, ["same", " ", "same", "other", "the sea " * 100])
    assert caught.value.index == 4


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"truncate": "END "}, ValueError, "truncate must be 'END', 'NONE' or None"),
        ({"long_passages": "cut"}, ValueError, "long_passages must be 'truncate', 'windows' or 'error'"),
        ({"long_passages": "windows", "truncate": "NONE"}, ValueError, "contradict each other"),
        ({"long_passages": "error", "truncate": "END"}, ValueError, "contradict each other"),
        ({"max_length": 0}, ValueError, "max_length must be 1 or more"),
        ({"max_length": True}, TypeError, "max_length must be a whole number"),
        ({"max_length": 64.0}, TypeError, "max_length must be a whole number"),
        ({"batch_tokens": -1}, ValueError, "batch_tokens must be 1 or more"),
        ({"device": "nonsense"}, ValueError, "can't be used on this machine"),
        ({"device": "cuda:99"}, ValueError, "can't be used on this machine"),
        ({"device": "meta"}, ValueError, "can't be used on this machine"),
        ({"dtype": "int8"}, ValueError, "dtype must be one of"),
        ({"dtype": torch.int8}, ValueError, "dtype must be one of"),
    ],
)
def test_bad_settings_fail_at_construction(folder, arguments, error, words):
    with pytest.raises(error, match=words):
        LocalScorer(folder, **arguments)


def test_more_length_than_the_model_has_is_refused(folder):
    with pytest.raises(ValueError, match="more than the 2048 tokens"):
        LocalScorer(folder, max_length=4096).load()


@pytest.mark.parametrize(
    ("able", "dtype"),
    [
        ({"avx2": True}, torch.float32),
        ({"avx2": True, "avx512_vnni": True}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
    ],
)
def test_a_cpu_computes_in_bfloat16_where_it_has_instructions_for_it(folder, monkeypatch, able, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(settings, "multiplies_bfloat16", settings.multiplies_bfloat16.__wrapped__)
    scorer = LocalScorer(folder, device="cpu")
    assert scorer.identity["dtype"] == str(dtype)
    assert f"dtype={dtype}" in repr(scorer)
    assert LocalScorer(folder, device="cpu", dtype="float32").identity["dtype"] == "torch.float32"


def test_a_first_ranking_leaves_torchs_compiler_alone():
    code = (
        "import sys; from nvrerank import LocalScorer; LocalScorer(device='cpu').score('q', ['a', 'b']);"
        "sys.exit('torch._dynamo' in sys.modules)"  # takes longer to load than all the rest
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_loading_logs_where_and_in_what_it_computes(folder, caplog):
    with caplog.at_level("INFO", "nvrerank"):
        LocalScorer(folder, device="cpu", dtype="float32").load()
    assert [record.message for record in caplog.records] == [f"{folder.name}: on cpu in torch.float32"]


def test_a_copy_shares_the_weights_and_a_pickle_holds_none(scorer):
    expected = scorer.score(QUERY, PASSAGES)
    assert copy.copy(scorer) is scorer
    assert copy.deepcopy([scorer])[0] is scorer
    text = pickle.dumps(scorer)
    assert len(text) < 2_000
    assert pickle.loads(text).score(QUERY, PASSAGES) == expected


def test_a_bar_shows_progress_on_request(folder, capsys):
    LocalScorer(folder, device="cpu", dtype="float32", progress=True).score(QUERY, PASSAGES)
    assert "40/40" in capsys.readouterr().err
    LocalScorer(folder, device="cpu", dtype="float32").score(QUERY, PASSAGES)
    assert capsys.readouterr().err == ""


def test_no_thread_is_left_when_a_scorer_is_gone(folder):
    before = set(threading.enumerate())  # an earlier test's workers may be there: they are the process's

    def names():
        new = set(threading.enumerate()) - before
        return [thread.name for thread in new if thread.name.startswith("nvrerank")]

    asyncio.run(LocalScorer(folder, device="cpu", dtype="float32").ascore(QUERY, PASSAGES))
    deadline = time.monotonic() + 5
    while names() and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert names() == []
