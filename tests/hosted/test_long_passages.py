"""HostedScorer and long passages: what the server is told, and windows by the tokens that its model has."""

from __future__ import annotations

import asyncio
import os
import pickle

import pytest
from fake_nim import steps, truth
from huggingface_hub import constants
from support.forks import in_child
from support.tokenizers import llama_tokenizer

from nvrerank import DeadlineExceededError, HostedScorer, RequestRejectedError, TruncationWarning, Windowed
from nvrerank.models import NVIDIA_PROMPT
from nvrerank.token_counter import EstimatedTokenCounter

MISTRAL = "nvidia/nv-rerankqa-mistral-4b-v3"  # reads 512 tokens
QUERY = "who found it?"
SHORT = "nobody did"
LONG = "The sea belongs to the shore. Rust never sleeps at all. " * 40 + "He found it in the end."


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A Hugging Face cache of the test's own, empty."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def own_tokenizer(cache):
    """The model's tokenizer is in the cache, as a download leaves it."""
    folder = cache / f"models--{MISTRAL.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("c0ffee")
    (folder / "snapshots" / "c0ffee").mkdir(parents=True)
    llama_tokenizer().save(str(folder / "snapshots" / "c0ffee" / "tokenizer.json"))
    return llama_tokenizer()


@pytest.fixture
def detailed(ask):
    return lambda scorer, query, passages: ask(scorer, "score_detailed", query, passages)


@pytest.mark.parametrize(
    ("long_passages", "sent", "known"),
    [(None, "END", None), ("truncate", "END", None), ("windows", "END", None), ("error", "NONE", False)],
)
def test_the_server_is_told_what_to_do_and_what_that_tells_is_known(
    nim, hosted, detailed, long_passages, sent, known
):
    server = nim()
    scored = detailed(hosted(server, model=MISTRAL, long_passages=long_passages), QUERY, [SHORT])
    assert [seen.json["truncate"] for seen in server.seen] == [sent]
    assert [(one.logit, one.truncated, one.window) for one in scored] == [(truth(QUERY, SHORT), known, None)]


def test_a_refused_passage_is_an_error_with_its_index(nim, hosted, detailed):
    detail = [
        {
            "loc": ["body", "passages", 1, "text"],
            "msg": "Input length 900 exceeds maximum allowed token size 512",
        }
    ]
    scorer = hosted(nim(default=steps.answer(422, {"detail": detail})), long_passages="error")
    with pytest.raises(RequestRejectedError, match=r"passages\[1\]") as caught:
        detailed(scorer, QUERY, [SHORT, LONG])
    assert caught.value.index == 1


def test_windows_go_in_the_same_requests_and_the_best_one_counts(nim, hosted, detailed):
    server = nim()
    scored = detailed(hosted(server, model=MISTRAL, long_passages="windows"), QUERY, [SHORT, LONG, LONG])
    [(_, sent)] = [seen.pair for seen in server.seen]
    assert len(sent) == len(set(sent)) > 2
    best = max((truth(QUERY, text), text) for text in sent if text != SHORT)
    assert scored[0].logit == truth(QUERY, SHORT)
    assert [(one.logit, LONG[slice(*one.window)]) for one in scored[1:]] == [best, best]


def test_windows_are_those_of_windowed_over_a_scorer_that_cuts(nim, hosted, detailed):
    server = nim()
    itself = detailed(hosted(server, model=MISTRAL, long_passages="windows"), QUERY, [LONG])
    assert Windowed(hosted(server, model=MISTRAL)).score_detailed(QUERY, [LONG]) == itself


def test_control_without_windows_the_passage_goes_as_it_is(nim, hosted, detailed):
    server = nim()
    detailed(hosted(server, model=MISTRAL), QUERY, [LONG])
    assert server.seen[0].pair == (QUERY, [LONG])


def test_without_its_tokenizer_the_tokens_are_estimated(hosted):
    counter = hosted(model=MISTRAL, base_url="http://nim").token_counter(QUERY)
    assert isinstance(counter, EstimatedTokenCounter)
    assert counter.room == EstimatedTokenCounter(512, QUERY).room


def test_the_models_own_tokenizer_counts_if_it_is_on_this_machine(hosted, own_tokenizer):
    counter = hosted(model=MISTRAL, base_url="http://nim").token_counter(QUERY)
    prompts = [NVIDIA_PROMPT.format(query=QUERY, passage=text) for text in ("", SHORT, LONG)]
    frame, short, long = (len(own_tokenizer.encode(prompt).ids) for prompt in prompts)
    assert (counter.exact, counter.room) == (True, 512 - frame)
    assert counter.counts([SHORT, LONG]) == [short - frame, long - frame]
    bare = own_tokenizer.encode(LONG, add_special_tokens=False)
    assert counter.ends(LONG) == [end for _, end in bare.offsets]


def test_with_its_own_tokenizer_windows_fit_exactly_and_nothing_is_cut(nim, hosted, detailed, own_tokenizer):
    server = nim()
    [one] = detailed(hosted(server, model=MISTRAL, long_passages="windows"), QUERY, [LONG])
    prompts = [NVIDIA_PROMPT.format(query=QUERY, passage=text) for text in server.seen[0].pair[1]]
    assert 400 < max(len(own_tokenizer.encode(prompt).ids) for prompt in prompts) <= 512
    assert one.truncated is False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_counts_though_a_thread_of_the_parent_was_counting(hosted, own_tokenizer):
    scorer = hosted(model=MISTRAL, base_url="http://nim")
    expected = scorer.token_counter(QUERY).counts([LONG])
    with scorer.token_counter(QUERY)._turn.get():  # as that thread would
        assert in_child(lambda: scorer.token_counter(QUERY).counts([LONG])) == expected


def test_text_that_spells_a_special_token_is_counted_as_text(hosted, own_tokenizer):
    counter = hosted(model=MISTRAL, base_url="http://nim").token_counter(QUERY)
    assert counter.counts(["<|end_of_text|>"])[0] > 1


LONG_QUERY = "why did he find it? " * 200


@pytest.mark.parametrize("over", [False, True])
def test_a_long_query_is_asked_by_its_beginning_where_tokens_are_known(
    nim, hosted, detailed, own_tokenizer, over
):
    server = nim()
    scorer = hosted(server, model=MISTRAL, long_passages=None if over else "windows")
    with pytest.warns(TruncationWarning, match="the query was not read to its end") as caught:
        [one] = detailed(Windowed(scorer) if over else scorer, LONG_QUERY, [LONG])
    assert len(caught) == 1
    query, sent = server.seen[0].pair
    assert LONG_QUERY.startswith(query)
    lengths = [len(own_tokenizer.encode(NVIDIA_PROMPT.format(query=query, passage=one)).ids) for one in sent]
    assert 480 < max(lengths) <= 512
    assert own_tokenizer.encode(NVIDIA_PROMPT.format(query=query, passage="")).ids[384:] == []
    assert (one.query_truncated, one.truncated) == (True, False)


def test_beside_a_long_query_windows_have_a_quarter_by_estimate_too(nim, hosted, detailed):
    server = nim()
    [one] = detailed(hosted(server, model=MISTRAL, long_passages="windows"), LONG_QUERY, [LONG])
    query, sent = server.seen[0].pair
    assert query == LONG_QUERY
    assert 90 < max(EstimatedTokenCounter().counts(sent)) <= 128
    assert (one.query_truncated, one.truncated) == (False, None)


def test_an_error_about_a_window_names_its_passage(nim, hosted, detailed):
    detail = [{"loc": ["body", "passages", 2, "text"], "msg": "is not a text"}]
    scorer = hosted(
        nim(default=steps.answer(422, {"detail": detail})), model=MISTRAL, long_passages="windows"
    )
    with pytest.raises(RequestRejectedError) as caught:
        detailed(scorer, QUERY, [SHORT, LONG])
    assert caught.value.index == 1


def test_an_unknown_model_is_read_in_windows_of_a_size_that_is_told(nim, hosted):
    server = nim()
    with pytest.raises(ValueError, match="give size="):
        Windowed(hosted(server)).score(QUERY, [LONG])
    Windowed(hosted(server), size=200).score(QUERY, [LONG])
    assert max(EstimatedTokenCounter().counts(server.seen[0].pair[1])) <= 200


def test_windows_need_a_model_whose_context_is_known():
    for options in ({"model": "my/model"}, {}):
        with pytest.raises(ValueError, match=r"Windowed\(HostedScorer\(...\), size=...\)"):
            HostedScorer(base_url="http://nim", long_passages="windows", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"long_passages": "cut"}, "long_passages must be 'truncate', 'windows' or 'error'"),
        ({"long_passages": "error", "truncate": "END"}, "contradict each other"),
        ({"long_passages": "windows", "truncate": "NONE"}, "contradict each other"),
        ({"long_passages": "truncate", "truncate": "NONE"}, "contradict each other"),
        ({"long_passages": "error", "truncate": None}, "leaves it to the server"),
        ({"long_passages": "error", "protocol": "cohere"}, "Cohere's protocol can't ask a server to refuse"),
    ],
)
def test_what_contradicts_itself_or_can_not_be_had_is_refused_at_construction(options, message):
    with pytest.raises(ValueError, match=message):
        HostedScorer(MISTRAL, base_url="http://nim", **options)


def test_a_pickle_keeps_what_becomes_of_long_passages(nim, hosted):
    server = nim()
    scorer = hosted(server, model=MISTRAL, long_passages="windows")
    with pickle.loads(pickle.dumps(scorer)) as twin:
        assert twin.score_detailed(QUERY, [LONG]) == scorer.score_detailed(QUERY, [LONG])


@pytest.mark.parametrize("moment", [0.0, 0.002, 0.2])
async def test_a_call_that_is_cancelled_frees_its_place_with_windows_too(nim, hosted, moment):
    server = nim(default=hang_before)
    async with hosted(server, model=MISTRAL, long_passages="windows", max_concurrency=1, timeout=5) as scorer:
        call = asyncio.create_task(scorer.ascore(QUERY, [LONG]))
        await asyncio.sleep(moment)
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
        assert await scorer.ascore("after", [SHORT]) == [truth("after", SHORT)]


async def hang_before(wire, seen):
    """Answers the query "after" and no other."""
    await (steps.rank() if seen.pair[0] == "after" else steps.hang)(wire, seen)


def test_the_time_that_cutting_takes_is_part_of_the_calls(nim, hosted, detailed):
    server = nim()
    scorer = hosted(server, model=MISTRAL, long_passages="windows", timeout=0.1)
    with pytest.raises(DeadlineExceededError, match=r"0\.1 s"):
        detailed(scorer, QUERY, ["The sea belongs to the shore. " * 40_000])
    assert server.seen == []
    assert len(detailed(hosted(server, model=MISTRAL, timeout=0.1), QUERY, [SHORT])) == 1, "time for one"


def test_what_becomes_of_long_passages_tells_two_scorers_apart(nim, hosted):
    server = nim()
    shown = {
        repr(hosted(server, model=MISTRAL, long_passages=one)) for one in ("truncate", "windows", "error")
    }
    assert len(shown) == 3
