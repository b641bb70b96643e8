"""Where requests go, and where a key may go along."""

import pytest

from nvrerank.hosted.endpoint import DEFAULT_MODEL, find_endpoint, hosted_id, may_send_key, status_url

ENDPOINTS = {
    "http://nim:8000": "http://nim:8000/v1/ranking",
    "http://nim:8000/": "http://nim:8000/v1/ranking",
    "http://nim:8000/v1": "http://nim:8000/v1/ranking",
    " http://nim:8000/v1/ ": "http://nim:8000/v1/ranking",
    "http://nim_server:8000/v1": "http://nim_server:8000/v1/ranking",
    "http://host/p0/p1/v1/": "http://host/p0/p1/v1/ranking",
    "http://host/p0": "http://host/p0/v1/ranking",
    "http://host/p0/ranking": "http://host/p0/ranking",
    "http://nim:8000/v1/ranking": "http://nim:8000/v1/ranking",
    "http://nim:8000/v1/ranking/": "http://nim:8000/v1/ranking",
    "https://gateway/models/x/reranking": "https://gateway/models/x/reranking",
    "http://vllm:8000/rerank": "http://vllm:8000/rerank",
    "http://vllm:8000/v1/rerank": "http://vllm:8000/v1/rerank",
    "http://[::1]:8000/v1": "http://[::1]:8000/v1/ranking",
}


@pytest.mark.parametrize(("base_url", "endpoint"), ENDPOINTS.items())
def test_a_base_url_leads_to_the_endpoint(base_url, endpoint):
    assert find_endpoint("m", base_url, None).url == endpoint


@pytest.mark.parametrize(
    ("base_url", "protocol", "spoken"),
    [
        ("http://h/v1", None, "nim"),
        ("http://h/v1/ranking", None, "nim"),
        ("http://h/x/reranking", None, "nim"),
        ("http://h/v1/rerank", None, "cohere"),
        ("http://h/rerank", "tei", "tei"),
        ("http://h", "tei", "tei"),
        ("http://h/v1", "cohere", "cohere"),
    ],
)
def test_the_protocol_follows_from_the_ending_or_the_argument(base_url, protocol, spoken):
    assert find_endpoint("m", base_url, protocol).protocol.name == spoken


@pytest.mark.parametrize(
    ("base_url", "protocol", "endpoint", "models", "health"),
    [
        ("http://h", None, "/v1/ranking", "/v1/models", "/v1/health/ready"),
        ("http://h/p/v1", None, "/p/v1/ranking", "/p/v1/models", "/p/v1/health/ready"),
        ("http://h", "cohere", "/v1/rerank", "/v1/models", "/health"),
        ("http://h/rerank", None, "/rerank", "/v1/models", "/health"),
        ("http://h/p", None, "/p/v1/ranking", "/p/v1/models", "/p/v1/health/ready"),
        ("http://h/p", "tei", "/p/rerank", "/p/info", "/p/health"),
        ("http://h/p/rerank", None, "/p/rerank", "/p/v1/models", "/p/health"),
        ("http://h/p/v2/rerank", None, "/p/v2/rerank", "/p/v1/models", "/p/health"),
        ("http://h", "tei", "/rerank", "/info", "/health"),
        ("http://h/p/rerank", "tei", "/p/rerank", "/p/info", "/p/health"),
    ],
)
def test_models_and_health_are_found_beside_the_endpoint(base_url, protocol, endpoint, models, health):
    found = find_endpoint("m", base_url, protocol)
    assert (found.url, found.models, found.health) == (
        f"http://h{endpoint}",
        f"http://h{models}",
        f"http://h{health}",
    )


HOSTED = "https://ai.api.nvidia.com/v1/retrieval/"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("nvidia/llama-3.2-nv-rerankqa-1b-v2", "nvidia/llama-3_2-nv-rerankqa-1b-v2/reranking"),
        ("nvidia/llama-3_2-nv-rerankqa-1b-v2", "nvidia/llama-3_2-nv-rerankqa-1b-v2/reranking"),
        ("nvidia/llama-3-2-nv-rerankqa-1b-v2", "nvidia/llama-3_2-nv-rerankqa-1b-v2/reranking"),
        ("nv-rerank-qa-mistral-4b:1", "nvidia/reranking"),
        ("nvidia/not-known-4.1-yet", "nvidia/not-known-4_1-yet/reranking"),
        (None, "nvidia/llama-nemotron-rerank-vl-1b-v2/reranking"),
    ],
)
@pytest.mark.parametrize(
    "base_url", [None, "https://integrate.api.nvidia.com/v1", "https://ai.api.nvidia.com/"]
)
def test_a_hosted_address_follows_from_the_models_name(model, path, base_url):
    assert find_endpoint(model, base_url, None).url == HOSTED + path


def test_a_hosted_request_names_the_model_by_its_id():
    assert hosted_id("nvidia/llama-3_2-nv-rerankqa-1b-v2") == "nvidia/llama-3.2-nv-rerankqa-1b-v2"
    assert hosted_id("somebody/new") == "somebody/new"
    assert hosted_id(None) == DEFAULT_MODEL


@pytest.mark.parametrize(
    "base_url",
    [
        "localhost",
        "bogus",
        "http://",
        "",
        "localhost:8000",
        "ftp://h/v1",
        "http://h:port/v1",
        "http://h:99999/v1",
        "http://user:pass@h/v1",
        "http://h/v1/embeddings",
        "http://h/v1/chat/completions/",
        "http://h/v1/models",
        "http://h/v1/score",
        "http://h/score/",
        "http://h/V1/Score",
        "http://h/classify",
        "http://h/v1/pooling",
        "http://h/predict",
        "http://h/embed",
        "http://h/embed_all",
        "http://h/v1/responses",
        "http://h/invocations",
        "http://h/v2/models/m/infer",
        "http://h/v1/rankings",
        "http://h/v1?x=1",
        "http://h/v1#x",
        "http://h\\@evil/v1",
        "http://h /v1",
        "http://h\n/v1",
        "http://häuschen/v1",
        "http://[::1/v1",
        "http://a%2fb/v1",
    ],
)
def test_what_is_no_url_is_refused_and_not_repeated(base_url):
    with pytest.raises(ValueError, match="base_url") as caught:
        find_endpoint("m", base_url, None)
    assert "pass" not in str(caught.value).replace("password", "").replace("pass api_key", "")


@pytest.mark.parametrize("protocol", [None, "cohere", "tei"])
def test_another_endpoint_is_refused_with_what_to_use(protocol):
    with pytest.raises(ValueError, match=r"ends in /score, .* a NIM's /v1, or the /v1/rerank of what speaks"):
        find_endpoint("m", "http://h/v1/score", protocol)


def test_a_prefix_may_be_called_like_an_endpoint():
    assert find_endpoint("m", "http://h/score/v1", None).url == "http://h/score/v1/ranking"
    assert find_endpoint("m", "http://h/models/rerank", None).url == "http://h/models/rerank"
    assert find_endpoint("m", "http://h/high-score", None).url == "http://h/high-score/v1/ranking"


@pytest.mark.parametrize(
    "arguments",
    [
        ("m", "http://h", "grpc"),
        ("just-a-name", None, None),
        ("org/na me", None, None),
        ("org/../../x", None, None),
        ("../x", None, None),
        ("org/x?y=", None, None),
        ("org/x#y", None, None),
        ("nvidia/nv-rerankqa-mistral-4b-v3", None, None),
        (None, None, "cohere"),
    ],
)
def test_what_leads_nowhere_is_refused(arguments):
    with pytest.raises(ValueError):
        find_endpoint(*arguments)


@pytest.mark.parametrize(
    ("base_url", "nvidia"),
    [
        (None, True),
        ("https://inference-api.nvidia.com/v1", True),
        ("https://AI.API.NVIDIA.COM/v1/retrieval/x/reranking", True),
        ("http://ai.api.nvidia.com/v1/retrieval/x/reranking", False),
        ("https://ai.api.nvidia.com.evil.example/v1", False),
        ("https://evil-nvidia.com/v1", False),
        ("https://nim.example/ai.api.nvidia.com/v1", False),
        ("http://127.0.0.1:8000/v1", False),
    ],
)
def test_a_key_of_the_environment_goes_to_nvidia_over_https_only(base_url, nvidia):
    address = find_endpoint("nvidia/new", base_url, None)
    assert address.nvidia is nvidia
    assert may_send_key(address, explicit=False, send_key_over_http=True) is nvidia


@pytest.mark.parametrize(
    "base_url", ["http://localhost:1/v1", "http://127.8.9.1/v1", "http://[::1]/v1", "https://h/v1"]
)
def test_a_key_that_was_passed_goes_wherever_nobody_listens(base_url):
    assert may_send_key(find_endpoint("m", base_url, None), explicit=True, send_key_over_http=False)


@pytest.mark.parametrize(
    "base_url", ["http://nim:8000/v1", "http://10.0.0.1/v1", "http://localhost.example/v1"]
)
def test_a_key_goes_out_in_clear_only_if_asked_for(base_url):
    address = find_endpoint("m", base_url, None)
    with pytest.raises(ValueError, match="send_key_over_http=True"):
        may_send_key(address, explicit=True, send_key_over_http=False)
    assert may_send_key(address, explicit=True, send_key_over_http=True)


def test_only_a_requests_id_leads_to_a_status():
    assert status_url("0f-9A") == "https://api.nvcf.nvidia.com/v2/nvcf/pexec/status/0f-9A"
    assert [status_url(other) for other in ("", "../x", "a b", "a?b", "x" * 129)] == [None] * 5
