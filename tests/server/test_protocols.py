"""Each protocol's requests and answers, and how it refuses."""

import json
import math

import pytest
from fake_nim import truth
from server.conftest import MODEL, nim

from nvrerank import LocalScorer, Scorer

QUERY, TEXTS = "how do I iterate?", ["bananas", "a class that one can iterate", "iterate how do I"]
LOGITS = [truth(QUERY, text) for text in TEXTS]
BEST_FIRST = sorted(range(3), key=lambda index: -LOGITS[index])


def sigmoid(logit):
    return 1 / (1 + math.exp(-logit))


def test_a_nim_answers_raw_logits_best_first(server):
    answer = server.client.post("/v1/ranking", json=nim(QUERY, TEXTS))
    assert answer.status_code == 200
    assert answer.json() == {"rankings": [{"index": i, "logit": LOGITS[i]} for i in BEST_FIRST]}


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_cohere_answers_relevance_scores_best_first(server, path):
    body = {"model": MODEL, "query": QUERY, "documents": [TEXTS[0], {"text": TEXTS[1]}, TEXTS[2]], "top_n": 2}
    answer = server.client.post(path, json=body | {"return_documents": True}).json()
    assert answer["results"] == [
        {"index": i, "relevance_score": pytest.approx(sigmoid(LOGITS[i])), "document": {"text": TEXTS[i]}}
        for i in BEST_FIRST[:2]
    ]
    assert "document" not in server.client.post(path, json=body).json()["results"][0]


@pytest.mark.parametrize("raw", [{"use_activation": False}, {"activation": False}, {"raw_scores": True}])
def test_whoever_asks_for_logits_in_vllms_or_infinitys_way_gets_them(server, raw):
    answer = server.client.post("/v1/rerank", json={"query": QUERY, "documents": TEXTS, **raw}).json()
    assert [one["relevance_score"] for one in answer["results"]] == [LOGITS[i] for i in BEST_FIRST]


@pytest.mark.parametrize(("raw", "scale"), [(True, float), (False, sigmoid)])
def test_tei_answers_a_bare_list(server, raw, scale):
    body = {"query": QUERY, "texts": TEXTS, "raw_scores": raw, "return_text": True}
    assert server.client.post("/rerank", json=body).json() == [
        {"index": i, "score": pytest.approx(scale(LOGITS[i])), "text": TEXTS[i]} for i in BEST_FIRST
    ]


def test_probabilities_are_not_squashed_a_second_time(serving):
    class Probable(Scorer):
        scale = "probability"

        def _score(self, query, passages):
            return [0.25 for _ in passages]

    answer = serving(Probable()).client.post("/v1/rerank", json={"query": "q", "documents": ["d"]})
    assert answer.json()["results"][0]["relevance_score"] == 0.25


def test_equal_scores_keep_their_order_and_a_duplicate_is_answered_twice(server):
    answer = server.client.post("/v1/ranking", json=nim("q", ["same", "same", "same"])).json()
    assert [one["index"] for one in answer["rankings"]] == [0, 1, 2]


WRONG = {
    "a blank query": (nim(" "), ["body", "query", "text"]),
    "a blank passage": (nim("q", ["a", "\u200b\n"]), ["body", "passages", 1, "text"]),
    "no passages": (nim("q", []), ["body", "passages"]),
    "too many": (nim("q", ["a"] * 513), ["body", "passages"]),
    "an unknown field": (nim(top_n=3), ["body", "top_n"]),
    "an unknown field of a passage": (
        {**nim(), "passages": [{"text": "a", "image": "b"}]},
        ["body", "passages", 0, "image"],
    ),
    "a wrong model": ({**nim(), "model": "gpt"}, ["body", "model"]),
    "no model": ({key: value for key, value in nim().items() if key != "model"}, ["body", "model"]),
    "a number": (nim("q", [7]), ["body", "passages", 0, "text"]),
    "a wrong word": (nim(truncate="START"), ["body", "truncate"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_refused_with_its_place(server, case):
    body, place = WRONG[case]
    answer = server.client.post("/v1/ranking", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == place
    assert set(answer.json()["detail"][0]) == {"type", "loc", "msg"}  # nothing of what was sent


def test_512_passages_are_not_too_many(server):
    assert server.client.post("/v1/ranking", json=nim("q", ["a"] * 512)).status_code == 200


def test_half_an_emoji_is_scored_as_a_replacement_character(server):
    body = json.dumps(nim("q", ["half \ud83d"]))
    answer = server.client.post("/v1/ranking", content=body, headers={"content-type": "application/json"})
    assert answer.json()["rankings"][0]["logit"] == truth("q", "half \ufffd")


@pytest.mark.parametrize(
    "body",
    [
        {"query": "q", "documents": ["a", " "]},
        {"query": "q", "texts": ["a"], "top_k": 1},
        {"query": "q"},
        [],
        7,
    ],
)
def test_the_other_protocols_refuse_too_and_say_why_in_their_own_words(server, body):
    answer = server.client.post("/rerank", json=body)
    assert answer.status_code == 422
    assert answer.json()["message"] == answer.json()["error"] != ""


@pytest.mark.parametrize("body", [b"{", b"", b"[" * 100_000, b'\xff"'])
def test_what_is_no_json_is_refused(server, body):
    answer = server.client.post("/v1/ranking", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)


def test_a_model_may_have_several_names_and_a_known_one_its_spellings(serving):
    names = ["nvidia/llama-3.2-nv-rerankqa-1b-v2", "rerank-v3.5"]
    client = serving(model_names=names).client
    assert [one["id"] for one in client.get("/v1/models").json()["data"]] == names
    for name in [*names, "nvidia/llama-3_2-nv-rerankqa-1b-v2"]:
        assert client.post("/v1/ranking", json={**nim(), "model": name}).status_code == 200
    assert client.post("/v1/ranking", json=nim()).status_code == 422


def test_the_folder_of_a_model_is_not_told(serving, tmp_path):
    class Folder(Scorer):
        name = str(tmp_path / "my-model")

        def _score(self, query, passages):
            return [0.0 for _ in passages]

    (tmp_path / "my-model").mkdir()
    client = serving(Folder()).client
    assert [one["id"] for one in client.get("/v1/models").json()["data"]] == ["my-model"]
    assert str(tmp_path) not in client.get("/v1/metadata").text + client.get("/info").text


LONG = "word " * 40


def test_a_nim_refuses_a_passage_that_would_be_cut_unless_it_may(server):
    refused = server.client.post("/v1/ranking", json=nim("q", ["short", LONG]))
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "passages", 1]
    assert "exceeds maximum allowed token size" in refused.json()["message"]
    assert server.client.post("/v1/ranking", json=nim("q", [LONG], truncate="END")).status_code == 200


@pytest.mark.parametrize(
    ("more", "status"), [({}, 200), ({"truncate": True}, 200), ({"truncate": False}, 422)]
)
def test_tei_cuts_unless_told_not_to(server, more, status):
    assert server.client.post("/rerank", json={"query": "q", "texts": [LONG], **more}).status_code == status


def test_health_models_and_metadata_have_a_nims_shape(server):
    live, ready = server.client.get("/v1/health/live"), server.client.get("/v1/health/ready")
    assert (live.status_code, live.json()["status"], live.json()["object"]) == (
        200,
        "live",
        "health.response",
    )
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    metadata = server.client.get("/v1/metadata").json()
    assert metadata["modelInfo"] == [{"modelUrl": "fake/reranker", "shortName": "reranker"}]
    rest = {"version", "assetInfo", "repository_override", "selectedModelProfileId"}
    assert metadata.keys() == {"modelInfo", *rest}


@pytest.mark.slow
def test_the_bundled_model_scores_over_http_what_it_scores_here(serving):
    scorer = LocalScorer(device="cpu", long_passages="truncate")
    answer = (
        serving(scorer).client.post("/v1/ranking", json={**nim(QUERY, TEXTS), "model": scorer.name}).json()
    )
    scores = {one["index"]: one["logit"] for one in answer["rankings"]}
    assert [scores[i] for i in range(3)] == pytest.approx(scorer.score(QUERY, TEXTS), abs=1e-5)
