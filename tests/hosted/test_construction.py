"""A constructor opens no connection, and what is wrong is said at once."""

import asyncio
import ssl

import httpx
import pytest

from nvrerank import HostedScorer, InvalidArgumentError, MissingKeyError
from nvrerank.hosted.endpoint import DEFAULT_MODEL

KEY = "nvapi-0123456789abcdefghij"
URL = "http://127.0.0.1:1/v1"


def refuse(request):
    raise AssertionError("a request was sent")


def test_a_constructor_and_what_it_tells_open_no_connection(hosted):
    scorer = hosted(base_url=URL, transport=httpx.MockTransport(refuse))
    assert (scorer.name, scorer.usage) == ("HostedScorer", ())
    assert repr(scorer) == (
        "HostedScorer(None, url='http://127.0.0.1:1/v1/ranking', protocol='nim', "
        "long_passages='truncate', truncate='END')"
    )


def test_closing_what_was_never_used_is_nothing(hosted):
    with hosted(model="m", base_url=URL) as scorer:
        assert scorer.name == "m"
    scorer.close()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"model": ""}, ValueError, "model must be"),
        ({"model": "x" * 129}, ValueError, "1 to 128"),
        ({"model": "a\nb"}, ValueError, "printable"),
        ({"model": 7}, TypeError, "model must be a str"),
        ({"base_url": "localhost"}, ValueError, "http://localhost:8000/v1"),
        ({"base_url": 7}, TypeError, "base_url must be a str"),
        ({"protocol": "grpc"}, ValueError, "nim, cohere, tei"),
        ({"timeout": 0}, ValueError, "timeout"),
        ({"timeout": float("nan")}, ValueError, "timeout"),
        ({"timeout": float("inf")}, ValueError, "timeout"),
        ({"timeout": 1e9}, ValueError, "at most 1000000 seconds"),
        ({"timeout": None}, TypeError, "timeout"),
        ({"timeout": True}, TypeError, "timeout"),
        ({"max_retries": -1}, ValueError, "max_retries must be 0 or more"),
        ({"max_retries": 1.5}, TypeError, "max_retries"),
        ({"max_concurrency": 0}, ValueError, "max_concurrency must be 1 or more"),
        ({"max_batch_size": 0}, ValueError, "max_batch_size must be 1 to 512"),
        ({"max_batch_size": 513}, ValueError, "max_batch_size must be 1 to 512"),
        ({"max_batch_size": True}, TypeError, "max_batch_size"),
        ({"truncate": "START"}, ValueError, "'END', 'NONE' or None"),
        ({"truncate": "end"}, ValueError, "truncate"),
        ({"verify": "/not/there.pem"}, ValueError, "'/not/there.pem', which holds no certificates"),
        ({"verify": __file__}, ValueError, "holds no certificates"),
        ({"verify": 7}, TypeError, "verify"),
        ({"transport": "direct"}, TypeError, "transport"),
        ({"headers": [("a", "b")]}, TypeError, "headers"),
        ({"headers": {"a": 1}}, TypeError, "headers"),
        ({"headers": {"a b": "c"}}, ValueError, "header 0"),
        ({"headers": {"x": "a\r\nb"}}, ValueError, "header 'x'"),
        ({"headers": {"x": "ä"}}, ValueError, "header 'x'"),
        ({"headers": {"Host": "h"}}, ValueError, "not yours"),
        ({"api_key": 7}, TypeError, "api_key must be a str"),
        ({"api_key": b"nvapi-1"}, TypeError, "not bytes"),
        ({"api_key": "two words"}, ValueError, "pass the key alone"),
        ({"api_key": "Bearer nvapi-1"}, ValueError, "pass the key alone"),
        ({"api_key": "nvapi-\x00"}, ValueError, "characters"),
        ({"api_key": "nvapi-é"}, ValueError, "characters"),
        ({"api_key": "**********"}, ValueError, "masked"),
        ({"api_key": KEY, "headers": {"authorization": "Basic abc"}}, ValueError, "leave one of them out"),
        ({"api_key": KEY, "base_url": "http://nim:8000/v1"}, ValueError, "in clear"),
        ({"headers": {"authorization": KEY}, "base_url": "http://nim:8000/v1"}, ValueError, "in clear"),
    ],
)
def test_a_bad_argument_fails_at_once_and_says_what_to_do(options, error, words):
    with pytest.raises(error, match=words):
        HostedScorer(**({"model": "m", "base_url": URL} | options))


def test_a_model_that_takes_more_passages_a_request_may_have_them():
    vl = "nvidia/llama-nemotron-rerank-vl-1b-v2"
    assert HostedScorer(vl, base_url=URL, max_batch_size=1000).name == vl


def test_nvidias_host_wants_a_key():
    for options in ({}, {"model": "nvidia/new"}, {"base_url": "https://integrate.api.nvidia.com/v1"}):
        with pytest.raises(MissingKeyError, match="set NVIDIA_API_KEY or pass api_key="):
            HostedScorer(**options)
    with pytest.raises(ValueError, match="name the model"):
        HostedScorer(base_url="https://ai.api.nvidia.com/v1/retrieval/x/y/reranking", api_key=KEY)


def test_without_a_model_the_hosted_default_is_taken():
    assert HostedScorer(api_key=KEY).name == DEFAULT_MODEL


class Secret:
    """As pydantic's SecretStr."""

    def get_secret_value(self):
        return KEY


@pytest.mark.parametrize(
    ("argument", "environment", "sent"),
    [
        (None, KEY, KEY),
        (None, f"  {KEY}\n", KEY),
        ("nvapi-argument", KEY, "nvapi-argument"),
        (" nvapi-argument ", None, "nvapi-argument"),
        ("", KEY, KEY),
        (Secret(), None, KEY),
    ],
)
def test_the_argument_counts_before_the_environment(hosted, score, monkeypatch, argument, environment, sent):
    if environment:
        monkeypatch.setenv("NVIDIA_API_KEY", environment)
    seen = []

    def answer(request):
        seen.append((str(request.url), request.headers["authorization"]))
        return httpx.Response(200, json={"rankings": [{"index": 0, "logit": 1.0}]})

    scorer = hosted(model="nvidia/new-9.9", api_key=argument, transport=httpx.MockTransport(answer))
    monkeypatch.delenv("NVIDIA_API_KEY", raising=False)  # read at construction, not later
    assert score(scorer, "q", ["a"]) == [1.0]
    assert seen == [("https://ai.api.nvidia.com/v1/retrieval/nvidia/new-9_9/reranking", f"Bearer {sent}")]


def test_the_base_url_of_the_environment_counts_after_the_argument(monkeypatch):
    monkeypatch.setenv("NVIDIA_BASE_URL", "http://env:1/v1")
    assert "http://env:1/v1/ranking" in repr(HostedScorer("m"))
    assert "http://127.0.0.1:1/v1/ranking" in repr(HostedScorer("m", base_url=URL))


@pytest.mark.parametrize("name", ["NVIDIA_API_KEY", "NVIDIA_BASE_URL"])
def test_an_empty_variable_is_none(monkeypatch, name):
    monkeypatch.setenv(name, "")
    with pytest.raises(MissingKeyError):
        HostedScorer("nvidia/new")


def test_a_bad_key_of_the_environment_matters_only_where_it_would_be_sent(monkeypatch):
    monkeypatch.setenv("NVIDIA_API_KEY", "two words")
    assert HostedScorer("m", base_url=URL).name == "m"
    with pytest.raises(ValueError, match="pass the key alone"):
        HostedScorer("nvidia/new")


def test_a_key_may_go_out_in_clear_if_asked_for(hosted, score):
    seen = []

    def answer(request):
        seen.append(request.headers["authorization"])
        return httpx.Response(200, json={"rankings": [{"index": 0, "logit": 1.0}]})

    options = {"base_url": "http://nim:8000/v1", "api_key": KEY, "send_key_over_http": True}
    assert score(hosted(model="m", transport=httpx.MockTransport(answer), **options), "q", ["a"]) == [1.0]
    assert seen == [f"Bearer {KEY}"]


def test_an_ssl_context_or_a_folder_may_be_given(tmp_path):
    for verify in (ssl.create_default_context(), tmp_path, str(tmp_path), False):
        assert HostedScorer("m", base_url="https://h/v1", verify=verify).name == "m"


def test_a_transport_for_threads_or_tasks_alone_is_refused_by_the_others(hosted):
    class InThreads(httpx.BaseTransport):
        def handle_request(self, request):
            return httpx.Response(200, json={"rankings": [{"index": 0, "logit": 1.5}]})

    class InTasks(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            return httpx.Response(200, json={"rankings": [{"index": 0, "logit": 1.5}]})

    threads, tasks = (
        hosted(model="m", base_url="http://h/v1", transport=one()) for one in (InThreads, InTasks)
    )
    assert threads.score("q", ["a"]) == asyncio.run(tasks.ascore("q", ["a"])) == [1.5]
    with pytest.raises(InvalidArgumentError, match="no handle_async_request: call score"):
        asyncio.run(threads.ascore("q", ["a"]))
    with pytest.raises(InvalidArgumentError, match="no handle_request: await ascore"):
        tasks.score("q", ["a"])
