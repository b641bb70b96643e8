"""Images go beside the texts in each protocol's own way, or nothing goes at all."""

from __future__ import annotations

import pytest
from fake_nim import steps, truth
from support.images import data_url, jpeg, png

from nvrerank import HostedScorer, Passage, RequestRejectedError, rerank
from nvrerank.hosted.endpoint import find_endpoint
from nvrerank.hosted.protocols import MOST_BYTES

VL, TEXT = "nvidia/llama-nemotron-rerank-vl-1b-v2", "nvidia/llama-nemotron-rerank-1b-v2"
KEY = "nvapi-0123456789abcdefghij"
BOTH, ALONE = Passage("a chart", png()), Passage(image=jpeg())
PASSAGES = ["text", BOTH, ALONE]
PNG_URL, JPEG_URL = data_url(png()), data_url(jpeg(), "image/jpeg")


def test_a_nim_gets_a_data_url_beside_the_text_or_instead_of_it(nim, hosted, score):
    server = nim()
    scores = score(hosted(server, model=VL), "q", PASSAGES)
    (seen,) = server.seen
    assert seen.json["passages"] == [
        {"text": "text"},
        {"text": "a chart", "image": PNG_URL},
        {"image": JPEG_URL},
    ]
    assert scores == [truth("q", one) for one in ("text", f"a chart{PNG_URL}", JPEG_URL)]


def test_vllm_gets_a_list_of_contents_and_is_not_asked_to_cut_it(nim, hosted, score):
    server = nim()
    scorer = hosted(server, model=VL, base_url=f"{server.url}/rerank", truncate="END")
    score(scorer, "q", PASSAGES)
    score(scorer, "q", ["text"])
    images, text = (one.json for one in server.seen)
    assert images["documents"] == [
        "text",
        {
            "content": [
                {"type": "image_url", "image_url": {"url": PNG_URL}},
                {"type": "text", "text": "a chart"},
            ]
        },
        {"content": [{"type": "image_url", "image_url": {"url": JPEG_URL}}]},
    ]
    assert "truncate_prompt_tokens" not in images
    assert text["truncate_prompt_tokens"] == -1


@pytest.mark.parametrize(
    ("options", "sees"),
    [
        ({"model": VL}, True),
        ({"model": f"{VL}-fp8"}, True),
        ({"model": "nvidia/Nemotron-3.5-Rerank-8B"}, True),
        ({"model": TEXT}, False),
        ({"model": "my/own"}, True),
        ({"model": None}, True),
        ({"model": TEXT, "reads_images": True}, True),
        ({"model": VL, "reads_images": False}, False),
        ({"model": VL, "protocol": "cohere"}, True),
        ({"model": "my/own", "protocol": "cohere"}, False),
        ({"model": "jina-reranker-m0", "protocol": "cohere", "reads_images": True}, True),
        ({"model": VL, "protocol": "tei"}, False),
        ({"base_url": None, "model": None, "api_key": KEY}, True),
        ({"base_url": None, "model": TEXT, "api_key": KEY}, False),
        ({"base_url": "https://inference-api.nvidia.com/v1", "model": VL, "api_key": KEY}, False),
    ],
)
def test_who_reads_images_follows_from_the_model_and_the_protocol(hosted, options, sees):
    assert hosted(**({"base_url": "http://nim:8000/v1"} | options)).reads_images is sees


@pytest.mark.parametrize("model", [TEXT, "my/own"])
def test_a_scorer_that_sees_nothing_sends_nothing_and_names_the_passage(nim, hosted, score, model):
    server = nim()
    scorer = hosted(server, model=model, protocol="cohere")
    with pytest.raises(RequestRejectedError, match=r"passages\[1\]: it has an image, and .* texts alone"):
        score(scorer, "q", PASSAGES)
    assert server.requests == 0


def test_an_odd_argument_is_refused():
    with pytest.raises(ValueError, match="tei has no place for images"):
        HostedScorer("m", base_url="http://tei", protocol="tei", reads_images=True)
    with pytest.raises(TypeError, match="reads_images must be a bool"):
        HostedScorer("m", base_url="http://nim", reads_images="yes")


def test_requests_are_filled_up_to_the_gateways_bytes_with_images_counted(nim, hosted, score):
    server = nim()
    large = [Passage(str(number), png() + bytes(900_000)) for number in range(8)]
    scores = score(hosted(server, model=VL), "q", ["text", *large])
    assert sum(len(one.json["passages"]) for one in server.seen) == 9
    assert [len(one.body) < MOST_BYTES for one in server.seen] == [True] * 3
    assert scores[1:] == [truth("q", f"{one.text}{one.image_url}") for one in large]


def test_an_image_too_large_for_nvidias_gateway_is_refused_by_its_index(hosted):
    scorer = hosted(model=VL, api_key=KEY)
    with pytest.raises(RequestRejectedError, match=r"passages\[1\]: .* scale its image down"):
        rerank(scorer, "q", ["a", Passage("b", png() + bytes(3_500_000))])


def test_an_echo_of_an_image_is_not_shown(nim, hosted):
    server = nim(steps.answer(422, {"detail": f"bad passage: {PNG_URL[:150]}"}))
    with pytest.raises(RequestRejectedError) as caught:
        hosted(server, model=VL).score("q", [BOTH])
    assert PNG_URL[30:60] not in str(caught.value)


def test_the_image_that_the_server_names_is_named(nim, hosted):
    place = {"type": "value_error", "loc": ["body", "passages", 1, "image"], "msg": "no"}
    server = nim(steps.answer(422, {"detail": [place]}))
    with pytest.raises(RequestRejectedError, match=r"passages\[2\]: "):
        rerank(hosted(server, model=VL), "q", ["a", "a", ALONE])


def test_windows_leave_an_image_whole(nim, hosted, score):
    server, long = nim(), "word " * 20_000
    score(hosted(server, model=VL, long_passages="windows"), "q", [long, Passage(long, png())])
    sent = [one for seen in server.seen for one in seen.json["passages"]]
    assert [one["text"] for one in sent if "image" in one] == [long]
    assert max(len(one["text"]) for one in sent if "image" not in one) < len(long)


GATEWAYS = [
    ("https://inference-api.nvidia.com/v1", VL, None, "https://inference-api.nvidia.com/v1/rerank", "cohere"),
    (
        "https://inference-api.nvidia.com",
        "m",
        "cohere",
        "https://inference-api.nvidia.com/v1/rerank",
        "cohere",
    ),
    (
        "https://integrate.api.nvidia.com/v1",
        TEXT,
        "cohere",
        "https://integrate.api.nvidia.com/v1/rerank",
        "cohere",
    ),
    (
        *("https://integrate.api.nvidia.com/v1", "qwen/qwen3-reranker-8b", None),
        *("https://integrate.api.nvidia.com/v1/rerank", "cohere"),
    ),
    (
        *("https://integrate.api.nvidia.com/v1", TEXT, None),
        *(f"https://ai.api.nvidia.com/v1/retrieval/{TEXT}/reranking", "nim"),
    ),
    ("https://inference-api.nvidia.com/v1", VL, "nim", "https://inference-api.nvidia.com/v1/ranking", "nim"),
]


@pytest.mark.parametrize(("base_url", "model", "protocol", "url", "spoken"), GATEWAYS)
def test_gateways_that_want_coheres_protocol_are_addressed_so(base_url, model, protocol, url, spoken):
    found = find_endpoint(model, base_url, protocol)
    assert (found.url, found.protocol.name, found.nvidia) == (url, spoken, True)


def test_a_gateway_of_many_models_wants_one_named(hosted):
    with pytest.raises(ValueError, match="name the model"):
        hosted(base_url="https://inference-api.nvidia.com/v1", api_key=KEY)
