"""Sentences scored one by one, by any scorer."""

from __future__ import annotations

import json

import httpx
import pytest
from support.html import Page

from nvrerank import HostedScorer, LocalScorer, Ranked, Ranking, Windowed, rerank, show

PASSAGE = "Cats sleep.\n\nThe capital of France is Paris. Cats sleep. It rained in the capital!"
QUERY = "the capital of france"


def test_each_sentence_has_its_offsets_its_text_and_its_score(highlight, scorer):
    found = highlight(scorer, QUERY, PASSAGE)
    assert [(one.text, one.score) for one in found.sentences] == [
        ("Cats sleep.", 0.0),
        ("The capital of France is Paris.", 4.0),
        ("Cats sleep.", 0.0),
        ("It rained in the capital!", 2.0),
    ]
    assert all(PASSAGE[one.start : one.end] == one.text for one in found.sentences)
    assert (found.query, found.passage) == (QUERY, PASSAGE)


def test_the_scorer_is_asked_once_and_for_each_text_once(highlight, scorer):
    highlight(scorer, QUERY, PASSAGE)
    expected = ["Cats sleep.", "The capital of France is Paris.", "It rained in the capital!"]
    assert scorer.asked == [expected]


def test_best_are_the_top_sentences_best_first(highlight, scorer):
    assert [one.score for one in highlight(scorer, QUERY, PASSAGE, top=2).best] == [4.0, 2.0]
    assert [one.score for one in highlight(scorer, QUERY, PASSAGE, top=None).best] == [4.0, 2.0, 0.0, 0.0]


def test_the_score_mode_is_that_of_rerank(highlight, scorer):
    scores = [one.score for one in highlight(scorer, QUERY, PASSAGE, score_mode="sigmoid").sentences]
    assert scores == pytest.approx([0.5, 0.98201, 0.5, 0.88080], abs=1e-5)


def test_a_notebook_sees_the_whole_passage_with_the_best_marked_by_strength(highlight, scorer):
    read = Page(highlight(scorer, QUERY, "<b>" + PASSAGE, top=2)._repr_html_())
    assert read.texts("mark") == ["The capital of France is Paris.", "It rained in the capital!"]
    strong, weak = [keys["style"] for name, keys, _ in read.elements if name == "mark"]
    assert ("0.50" in strong, "0.32" in weak) == (True, True)
    assert read.texts("small") == ["4.000", "2.000"]
    [text] = read.texts("div")
    assert text.replace(" 4.000", "").replace(" 2.000", "") == "<b>" + PASSAGE


def test_a_score_reads_from_left_to_right_in_a_text_that_does_not(highlight, scorer):
    read = Page(highlight(scorer, "q", "القاهرة هي عاصمة مصر.")._repr_html_())
    assert [keys["dir"] for name, keys, _ in read.elements if name in {"div", "small"}] == ["auto", "ltr"]


@pytest.mark.parametrize("blank", ["", " \n\t"])
def test_a_blank_passage_has_no_sentences_and_asks_nobody(highlight, scorer, blank):
    found = highlight(scorer, QUERY, blank)
    assert (found.sentences, found.best, scorer.asked) == ((), [], [])
    assert Page(found._repr_html_()).texts("mark") == []


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "reason"),
    [
        ((" ", "a"), {}, ValueError, "query is blank"),
        (("q", ["a"]), {}, TypeError, "passage must be a str, not list"),
        (("q", "a"), {"top": -1}, ValueError, "top must be 0 or more"),
        (("q", "a"), {"score_mode": "cosine"}, ValueError, "score_mode must be"),
    ],
)
def test_a_bad_argument_is_named(highlight, scorer, arguments, options, kind, reason):
    with pytest.raises(kind, match=reason):
        highlight(scorer, *arguments, **options)


def by_length(request: httpx.Request) -> httpx.Response:
    texts = [passage["text"] for passage in json.loads(request.content)["passages"]]
    rankings = [{"index": index, "logit": float(len(text))} for index, text in enumerate(texts)]
    return httpx.Response(200, json={"rankings": rankings})


@pytest.mark.parametrize(
    "make",
    [
        lambda: HostedScorer("m", base_url="http://nim/v1", transport=httpx.MockTransport(by_length)),
        lambda: LocalScorer(device="cpu"),
        lambda: Windowed(LocalScorer(device="cpu"), size=8),
    ],
    ids=["hosted", "bundled", "windowed"],
)
def test_every_scorer_finds_the_sentence_that_answers(highlight, make):
    assert highlight(make(), "what is the capital of France?", PASSAGE).best[0].text == PASSAGE[13:44]


def test_the_best_sentences_of_a_ranking_are_found_in_one_call(best_sentences, scorer):
    ranking = rerank(scorer, QUERY, ["Cats sleep.", PASSAGE, "It rained. So it is the capital of rain."])
    del scorer.asked[:]
    found = best_sentences(scorer, ranking, rows=2)
    assert found == {1: [(13, 44)], 2: [(11, 40)]}
    assert len(scorer.asked) == 1
    assert best_sentences(scorer, ranking, rows=1, top=2) == {1: [(13, 44), (57, 82)]}


def test_where_a_window_decided_only_its_sentences_are_looked_at(best_sentences, scorer):
    ranking = Ranking([Ranked(0, 1.0, window=(45, 82))], QUERY, [PASSAGE])
    assert best_sentences(scorer, ranking) == {0: [(57, 82)]}


def test_nothing_ranked_has_no_best_sentences(best_sentences, scorer):
    assert best_sentences(scorer, Ranking([], "q", [])) == {}


def test_the_public_names_are_all_there():
    assert all(getattr(show, name) is not None for name in show.__all__)
