"""A NIM's passages may be images where the scorer behind reads them; where not, they are refused."""

from __future__ import annotations

import pytest
from fake_nim import truth
from server.conftest import MODEL, Truth, nim
from support.images import data_url, jpeg, png

from nvrerank import HostedScorer, Passage


class Seeing(Truth):
    reads_images = True

    def _score_many(self, calls):
        self.seen = [one for _, texts in calls for one in texts]
        return super()._score_many(calls)


def asking(*passages):
    return {**nim(), "passages": list(passages)}


def test_a_scorer_that_sees_is_asked_about_images(serving):
    server = serving(Seeing())
    passages = {"text": "a"}, {"image": data_url(png())}, {"text": "b", "image": data_url(jpeg())}
    answer = server.client.post("/v1/ranking", json=asking(*passages))
    assert answer.status_code == 200
    assert server.scorer.seen == ["a", Passage(image=png()), Passage("b", jpeg())]
    logits = {one["index"]: one["logit"] for one in answer.json()["rankings"]}
    assert logits == {0: truth("q", "a"), 1: truth("q", ""), 2: truth("q", "b")}


def test_one_that_reads_texts_alone_refuses_and_names_the_passage(server):
    answer = server.client.post("/v1/ranking", json=asking({"text": "a"}, {"image": data_url(png())}))
    assert answer.status_code == 422
    [problem] = answer.json()["detail"]
    assert problem["loc"] == ["body", "passages", 1]
    assert "reads texts alone" in problem["msg"]


@pytest.mark.parametrize(
    ("passage", "place"),
    [
        ({}, []),
        ({"text": None}, []),
        ({"image": "/etc/hostname"}, ["image"]),
        ({"image": "https://example.org/a.png"}, ["image"]),
        ({"image": data_url(b"GIF89a")}, ["image"]),
        ({"image": data_url(png(100_000, 10_000))}, ["image"]),
        ({"text": " ", "image": data_url(png())}, ["text"]),
        ({"image": 7}, ["image"]),
    ],
)
def test_what_is_no_image_is_refused_with_its_place_and_no_file_is_opened(server, passage, place):
    answer = server.client.post("/v1/ranking", json=asking(passage))
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "passages", 0, *place]


def test_our_own_client_and_server_understand_each_other(serving):
    server = serving(Seeing())
    with HostedScorer(MODEL, base_url=f"{server.url}/v1") as scorer:
        scorer.score("q", ["a", Passage("b", png()), Passage(image=jpeg())])
    assert server.scorer.seen == ["a", Passage("b", png()), Passage(image=jpeg())]


def contents(*parts):
    return {"content": list(parts)}


WORDS = {"type": "text", "text": "b"}
PICTURE = {"type": "image_url", "image_url": {"url": data_url(jpeg())}}


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank"])
def test_vllms_list_of_contents_is_taken(serving, path):
    server = serving(Seeing())
    documents = ["a", contents(PICTURE, WORDS), contents(WORDS, PICTURE), contents(PICTURE), contents(WORDS)]
    body = {"query": "q", "documents": documents, "return_documents": True}
    answer = server.client.post(path, json=body)
    assert answer.status_code == 200
    both, alone = Passage("b", jpeg()), Passage(image=jpeg())
    assert [*map(repr, server.scorer.seen)] == [*map(repr, ["a", both, alone, "b"])]
    shown = {one["index"]: one["document"]["text"] for one in answer.json()["results"]}
    assert shown == {0: "a", 1: "b", 2: "b", 3: "", 4: "b"}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ([], []),
        ("b", []),
        ([WORDS, WORDS], []),
        ([PICTURE, PICTURE], []),
        ([{"type": "video_url", "video_url": {"url": data_url(png())}}], []),
        ([{"type": "text"}], []),
        ([{"type": "text", "text": " "}], ["text"]),
        ([{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}], ["image"]),
        ([{"type": "image_url", "image_url": {"url": "/etc/hostname"}}], ["image"]),
    ],
)
def test_other_contents_are_refused_with_their_place(serving, content, place):
    server = serving(Seeing())
    body = {"query": "q", "documents": ["a", {"content": content}]}
    answer = server.client.post("/v1/rerank", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "documents", 1, *place]


def test_contents_with_an_image_are_refused_by_one_that_reads_texts_alone(server):
    answer = server.client.post("/v1/rerank", json={"query": "q", "documents": ["a", contents(PICTURE)]})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "documents", 1]


def test_our_own_client_sends_images_to_our_server_in_vllms_words(serving):
    server = serving(Seeing())
    with HostedScorer(MODEL, base_url=f"{server.url}/v1/rerank", reads_images=True) as scorer:
        scorer.score("q", ["a", Passage("b", png()), Passage(image=jpeg())])
    assert [*map(repr, server.scorer.seen)] == [*map(repr, ["a", Passage("b", png()), Passage(image=jpeg())])]
