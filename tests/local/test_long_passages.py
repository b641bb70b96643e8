"""LocalScorer and long passages: counted by the model's own tokens, cut, refused, or read in windows."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checkpoints import mistral_config, write_cross_encoder, write_decoder

from nvrerank import LocalScorer, RequestRejectedError, Windowed, rerank
from nvrerank.texts import is_blank
from nvrerank.windows import Cutting

QUERY = "who wrote it?"
SHORT = "the sea belongs to the shore"
LONG = "The sea belongs to the shore number 5. Rust belongs to iron. " * 30 + "He found it in the end."

MODELS = {
    "bundled": lambda _folder: None,
    "llama": write_decoder,
    "mistral": lambda folder: write_decoder(folder, **mistral_config()),
    "bert": lambda folder: write_cross_encoder(folder, "bert"),
    "xlm-roberta": lambda folder: write_cross_encoder(folder, "xlm-roberta"),
    "modernbert": lambda folder: write_cross_encoder(folder, "modernbert"),
}
PIECES = [
    "the sea",
    "iterable",
    " ",
    "\n",
    "\r\n",
    "naïve",
    "東京都",
    "。",
    "🙂",
    "12345",
    ". ",
    "👩\u200d👧",
    "a" * 30,
]
odd_texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=150).map("".join).filter(str.strip)


@pytest.fixture(scope="module", params=MODELS)
def scorer(request, tmp_path_factory):
    folder = MODELS[request.param](tmp_path_factory.mktemp("model"))
    return LocalScorer(folder, device="cpu", dtype="float32", max_length=64, long_passages="truncate")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_decoder(tmp_path_factory.mktemp("model"))


@pytest.fixture(params=["sync", "async"])
def detailed(request):
    if request.param == "sync":
        return lambda scorer, *call: scorer.score_detailed(*call)
    return lambda scorer, *call: asyncio.run(scorer.ascore_detailed(*call))


def test_truncated_is_told_by_the_true_count(scorer, detailed):
    assert [one.truncated for one in detailed(scorer, QUERY, [SHORT, LONG])] == [False, True]
    [long] = scorer._loaded().encoder.encode(QUERY, [LONG], 64)
    assert long.whole > 64


def test_a_ranking_counts_what_was_cut(scorer):
    ranking = rerank(scorer, QUERY, [SHORT, LONG, LONG, ""])
    assert ranking.truncated == 2
    assert {one.index: one.truncated for one in ranking} == {0: False, 1: True, 2: True, 3: None}


def test_the_token_counter_counts_as_the_model_reads(scorer):
    whole = [pair.whole for pair in scorer._loaded().encoder.encode(QUERY, [SHORT, LONG], 64)]
    counter = scorer.token_counter(QUERY)
    assert [64 - counter.room + count for count in counter.counts([SHORT, LONG])] == whole
    assert counter.exact


@settings(max_examples=60, deadline=None)
@given(text=odd_texts)
def test_windows_fit_cover_everything_and_token_ends_ascend(scorer, text):
    counter = scorer.token_counter(QUERY)
    ends = counter.ends(text)
    assert ends == sorted(ends)
    assert not text[ends[-1] :].strip() if ends else True
    [spans] = Cutting().plan(counter, [text])._spans
    pairs = scorer._loaded().encoder.encode(QUERY, [text[start:end] for start, end in spans], 64)
    assert max(pair.whole for pair in pairs) <= 64
    covered = {place for start, end in spans for place in range(start, end)}
    assert {place for place, one in enumerate(text) if not is_blank(one)} <= covered


def test_windows_are_scored_as_by_windowed_over_a_scorer_that_cuts(scorer, detailed):
    itself = LocalScorer(
        scorer._source.folder, device="cpu", dtype="float32", max_length=64, long_passages="windows"
    )
    found = detailed(itself, QUERY, [LONG, SHORT, LONG])
    expected = Windowed(scorer).score_detailed(QUERY, [LONG, SHORT, LONG])
    assert [(one.truncated, one.window) for one in found] == [(one.truncated, one.window) for one in expected]
    assert [one.logit for one in found] == pytest.approx([one.logit for one in expected], abs=1e-5)
    assert found[0].window is not None
    assert found[1].window is None


def test_what_was_counted_for_windows_is_scored_and_not_tokenised_again(folder, monkeypatch):
    scorer = LocalScorer(folder, device="cpu", dtype="float32", max_length=64, long_passages="windows").load()
    encoder, seen = scorer._model.encoder, []
    encodings = encoder._encodings

    def noted(texts, **options):
        seen.extend(texts)
        return encodings(texts, **options)

    monkeypatch.setattr(encoder, "_encodings", noted)
    scored = scorer.score_detailed(QUERY, [SHORT, LONG])
    assert scored[1].window is not None
    assert len(seen) == len(set(seen)) > 4
    assert {":" + SHORT, ":" + LONG[slice(*scored[1].window)]} <= set(seen)  # the colon is the prompt's


@pytest.mark.parametrize("options", [{"long_passages": "error"}, {"truncate": "NONE"}])
def test_error_names_the_passage_and_its_length(folder, detailed, options):
    scorer = LocalScorer(folder, device="cpu", dtype="float32", max_length=64, **options)
    with pytest.raises(
        RequestRejectedError, match=r"passages\[1\]: .* tokens long, the model reads 64"
    ) as caught:
        detailed(scorer, QUERY, [SHORT, LONG])
    assert caught.value.index == 1
    assert detailed(scorer, QUERY, [SHORT])[0].truncated is False


def test_an_error_about_a_window_names_its_passage(folder, detailed):
    scorer = LocalScorer(folder, device="cpu", dtype="float32", max_length=64, long_passages="windows")
    forward = scorer._loaded().forward

    def too_small(batch):
        if any("end" in scorer._loaded().encoder._tokenizer.decode(pair.ids) for pair in batch):
            raise MemoryError
        return forward(batch)

    object.__setattr__(scorer._loaded(), "forward", too_small)
    with pytest.raises(RequestRejectedError, match="do not fit into memory") as caught:
        detailed(scorer, QUERY, [SHORT, "a sea " * 100, LONG])
    assert caught.value.index == 2


LONG_QUERY = "who wrote the book of the dead sea? " * 50
queries_may_be_cut = pytest.mark.filterwarnings("ignore:the query was not read:nvrerank.TruncationWarning")


@queries_may_be_cut
def test_a_long_query_is_asked_by_its_beginning_and_the_result_says_so(scorer, detailed):
    read = scorer.token_counter(LONG_QUERY).query
    assert LONG_QUERY.startswith(read)
    found = detailed(scorer, LONG_QUERY, [SHORT, LONG])
    assert [one.logit for one in found] == pytest.approx(scorer.score(read, [SHORT, LONG]), abs=1e-5)
    assert [(one.query_truncated, one.truncated) for one in found] == [(True, False), (True, True)]
    assert rerank(scorer, LONG_QUERY, [SHORT]).query_truncated
    assert not rerank(scorer, read, [SHORT]).query_truncated


@queries_may_be_cut
def test_windows_beside_a_long_query_have_a_quarter_of_what_is_read(scorer, detailed):
    itself = LocalScorer(
        scorer._source.folder, device="cpu", dtype="float32", max_length=64, long_passages="windows"
    )
    assert 16 <= itself.token_counter(LONG_QUERY).room <= 20
    [one] = detailed(itself, LONG_QUERY, [LONG])
    assert (one.query_truncated, one.truncated) == (True, False)
    [other] = Windowed(scorer).score_detailed(LONG_QUERY, [LONG])
    assert (other.query_truncated, other.truncated, other.window) == (True, False, one.window)
    assert other.logit == pytest.approx(one.logit, abs=1e-5)


def test_error_refuses_a_long_query_and_reads_one_whole_that_fits(scorer, detailed):
    strict = LocalScorer(
        scorer._source.folder, device="cpu", dtype="float32", max_length=64, long_passages="error"
    )
    with pytest.raises(RequestRejectedError, match="leaves no room for a passage"):
        detailed(strict, LONG_QUERY, ["a"])
    nearly = scorer.token_counter(LONG_QUERY).query + " on"  # leaves a passage less than a quarter
    assert scorer.token_counter(nearly).query is not None
    assert [one.query_truncated for one in detailed(strict, nearly, ["a"])] == [False]


@queries_may_be_cut
@pytest.mark.parametrize("max_length", [1, 8, 12, 16, 24])
def test_a_tiny_length_has_room_for_both_or_is_refused(scorer, detailed, max_length):
    tiny = LocalScorer(
        scorer._source.folder, device="cpu", max_length=max_length, long_passages="truncate"
    ).load()
    try:
        scored = detailed(tiny, LONG_QUERY, [LONG])
    except RequestRejectedError as error:
        assert "give a larger max_length" in str(error)  # noqa: PT017
        assert tiny._loaded().encoder.ask("w").frame >= max_length
    else:
        assert scored[0].query_truncated
        assert scored[0].truncated


def test_a_cancelled_call_stops_after_the_batch_under_way(folder):
    scorer = LocalScorer(
        folder, device="cpu", dtype="float32", max_length=64, batch_tokens=64, long_passages="windows"
    )
    stops = iter([False, False, True])
    with pytest.raises(CancelledError):
        scorer._logits([scorer._part(QUERY, [LONG * 5], lambda: next(stops))], lambda: next(stops))


def test_the_answer_at_the_end_is_found_with_windows_and_lost_without():
    query, answer = (
        "Where is the treasure of Captain Flint buried?",
        "Captain Flint's treasure is buried under an oak.",
    )
    rest = "Documentation of a list of commands says little about trees. " * 80
    passages = [rest + answer, "Captain Flint commands a ship and its crew.", "A treasure was never found."]
    cut, read = (
        LocalScorer(device="cpu", dtype="float32", long_passages=how) for how in ("truncate", "windows")
    )
    assert rerank(cut, query, passages)[0].index != 0
    best = rerank(read, query, passages)[0]
    assert best.index == 0
    assert passages[0][slice(*best.window)].endswith(answer)
