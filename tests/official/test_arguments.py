"""The official constructors' arguments: what is taken, what counts first, what is refused at once."""

import pytest
from fake_nim import steps, truth
from pydantic import SecretStr, ValidationError

from nvrerank import AuthenticationError, HostedScorer, MissingKeyError, Scorer
from nvrerank.hosted.endpoint import DEFAULT_MODEL

KEY = "nvapi-0123456789abcdefghij"
URL = "http://127.0.0.1:1/v1"
HOSTED = "https://ai.api.nvidia.com/v1/retrieval/nvidia"
PASSAGES = [f"passage {number}" for number in range(20)]


class ByLength(Scorer):
    def score(self, query, passages):
        return [float(len(passage)) for passage in passages]


def best(texts, top_n=None, query="q"):
    scored = sorted(((text, truth(query, text)) for text in texts), key=lambda pair: -pair[1])
    return scored[:top_n]


@pytest.fixture
def key_of_the_environment(monkeypatch):
    monkeypatch.setenv("NVIDIA_API_KEY", KEY)


def test_the_official_arguments_make_a_hosted_scorer(nim, make, rank):
    server = nim()
    reranker = make(
        model="fake/reranker",
        base_url=server.url,
        nvidia_api_key=KEY,
        top_n=3,
        max_batch_size=7,
        truncate="END",
        default_headers={"x-tenant": "blue"},
    )
    assert rank(reranker, "q", PASSAGES) == best(PASSAGES, 3)
    assert sorted(len(seen.pair[1]) for seen in server.seen) == [6, 7, 7]
    for seen in server.seen:
        assert (seen.path, seen.json["model"], seen.json["truncate"]) == (
            "/v1/ranking",
            "fake/reranker",
            "END",
        )
        assert (seen.headers["authorization"], seen.headers["x-tenant"]) == (f"Bearer {KEY}", "blue")


@pytest.mark.usefixtures("key_of_the_environment")
def test_without_an_argument_it_is_nvidias_current_default(make):
    reranker = make()
    assert isinstance(reranker.scorer, HostedScorer)
    assert (reranker.model, reranker.top_n) == (DEFAULT_MODEL, 5)
    assert f"{HOSTED}/llama-nemotron-rerank-vl-1b-v2/reranking" in repr(reranker)


def test_without_a_key_the_constructor_says_so(make):
    for options in ({}, {"model": "nvidia/new"}, {"api_key": ""}, {"nvidia_api_key": SecretStr("")}):
        with pytest.raises(MissingKeyError, match="set NVIDIA_API_KEY or pass api_key=") as caught:
            make(**options)
        assert isinstance(caught.value, ValueError)  # as LlamaIndex's official class raises


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        ({"nvidia_api_key": "one", "api_key": "two"}, "one"),
        ({"nvidia_api_key": SecretStr("one"), "api_key": "two"}, "one"),
        ({"api_key": "two"}, "two"),
        ({"nvidia_api_key": "", "api_key": "two"}, "two"),
        ({"nvidia_api_key": None, "api_key": SecretStr("two")}, "two"),
    ],
)
@pytest.mark.usefixtures("key_of_the_environment")
def test_nvidia_api_key_counts_before_api_key_before_the_environment(nim, make, rank, keys, sent):
    server = nim()
    rank(make(model="m", base_url=server.url, **keys), "q", ["a"])
    assert server.seen[0].headers["authorization"] == f"Bearer {sent}"


def test_the_key_of_the_environment_is_for_nvidias_hosts_and_read_at_construction(
    nim, make, rank, monkeypatch
):
    monkeypatch.setenv("NVIDIA_API_KEY", KEY)
    server = nim()
    reranker, hosted = make(model="m", base_url=server.url), make()
    monkeypatch.delenv("NVIDIA_API_KEY")
    rank(reranker, "q", ["a"])
    assert "authorization" not in server.seen[0].headers
    assert hosted.scorer.name == DEFAULT_MODEL


@pytest.mark.parametrize("name", ["base_url", "nvidia_base_url"])
def test_the_base_url_that_is_passed_counts_before_the_environment(make, monkeypatch, name):
    monkeypatch.setenv("NVIDIA_BASE_URL", "http://127.0.0.1:2/v1")
    assert "127.0.0.1:1/v1/ranking" in repr(make(model="m", **{name: URL}))
    late = make(model="m")
    monkeypatch.delenv("NVIDIA_BASE_URL")
    assert "127.0.0.1:2/v1/ranking" in repr(late.scorer)
    assert late.base_url == "http://127.0.0.1:2/v1"


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        ("", "/v1/ranking"),
        ("/", "/v1/ranking"),
        ("/v1", "/v1/ranking"),
        ("/p0/p1/v1/", "/p0/p1/v1/ranking"),
        ("/v1/ranking", "/v1/ranking"),
        ("/p/reranking", "/p/reranking"),
    ],
)
def test_ranking_is_appended_unless_it_is_there_and_a_prefix_is_kept(nim, make, rank, base_url, path):
    server = nim()
    rank(make(model="m", base_url=f"http://{server.host}{base_url}"), "q", ["a"])
    assert server.seen[0].path == path


@pytest.mark.parametrize("base_url", ["localhost", "bogus", "http://", "localhost:8000", "ftp://h/v1"])
def test_what_is_no_url_is_refused_at_construction(make, base_url):
    with pytest.raises(ValueError, match="base_url"):
        make(model="m", base_url=base_url)


@pytest.mark.parametrize(("options", "sent"), [({}, None), ({"truncate": None}, None)])
def test_truncate_is_absent_unless_it_is_said(nim, make, rank, options, sent):
    server = nim()
    rank(make(model="m", base_url=server.url, **options), "q", ["a"])
    assert server.seen[0].json.get("truncate", "absent") == "absent"


@pytest.mark.parametrize("truncate", ["NONE", "END"])
def test_truncate_is_sent_as_it_is_said(nim, make, rank, truncate):
    server = nim()
    rank(make(model="m", base_url=server.url, truncate=truncate), "q", ["a"])
    assert server.seen[0].json["truncate"] == truncate


@pytest.mark.parametrize("truncate", [True, False, 1, 0, 1.0, "START", "BOGUS", "end", ""])
def test_another_truncate_is_refused_at_construction(make, truncate):
    with pytest.raises(ValueError, match="truncate"):
        make(model="m", base_url=URL, truncate=truncate)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"topn": 3}, "topn"),
        ({"top_n": -1}, "top_n must be 0 or more"),
        ({"max_batch_size": 0}, "max_batch_size"),
        ({"max_batch_size": "many"}, "max_batch_size"),
        ({"timeout": 0}, "timeout"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"verify": "/not/there.pem"}, "verify names"),
        ({"verify_ssl": "/not/there.pem"}, "verify names"),
        ({"default_headers": {"Host": "h"}}, "not yours"),
        ({"default_headers": ["a"]}, "default_headers"),
        ({"base_url": "http://nim:8000/v1", "api_key": KEY}, "send_key_over_http=True"),
        ({"http_client": object()}, "timeout="),
        ({"usage_telemetry_enabled": True}, "nothing is ever reported"),
        ({"headers": {"a": "b"}}, "default_headers="),
        ({"protocol": "tei"}, "HostedScorer"),
        ({"transport": object()}, "HostedScorer"),
        ({"nvidia_base_url": URL}, "leave nvidia_base_url out"),
        ({"scorer": ByLength()}, "leave model, base_url out"),
    ],
)
def test_a_bad_argument_is_refused_at_construction_and_says_what_to_do(make, options, words):
    with pytest.raises(ValueError, match=words):
        make(**{"model": "m", "base_url": URL, **options})


@pytest.mark.parametrize("name", ["api_key", "nvidia_api_key"])
def test_a_key_that_is_no_string_is_refused(make, name):
    with pytest.raises(TypeError, match="a str or a SecretStr, not bytes"):
        make(model="m", base_url=URL, **{name: KEY.encode()})


@pytest.mark.parametrize(
    "options",
    [
        {"usage_telemetry_enabled": False},
        {"usage_telemetry_enabled": None, "http_client": None, "scorer": None},
        {"verify_ssl": True},
        {"verify_ssl": False},
        {"extra_headers": {"x-tenant": "blue"}, "default_headers": {}},
        {"timeout": 5, "max_retries": 0, "max_concurrency": 2, "max_batch_size": None},
        {"base_url": "http://nim:8000/v1", "api_key": KEY, "send_key_over_http": True},
        {"top_n": "3", "max_batch_size": "7"},
        {"max_batch_size": 1024},
    ],
)
def test_whatever_else_they_take_is_taken(make, options):
    assert make(**{"model": "m", "base_url": URL, **options}).scorer.name == "m"


@pytest.mark.parametrize("model", ["", None])
def test_an_empty_name_is_none(make, model):
    assert make(model=model, api_key=KEY).model == DEFAULT_MODEL


def test_the_older_name_of_default_headers_does_the_same(nim, make, rank):
    server = nim()
    rank(make(model="m", base_url=server.url, extra_headers={"x-tenant": "blue"}), "q", ["a"])
    assert server.seen[0].headers["x-tenant"] == "blue"


def test_a_scorer_that_is_passed_needs_nothing_of_all_that(make, rank, monkeypatch):
    monkeypatch.setenv("NVIDIA_BASE_URL", "http://127.0.0.1:2/v1")
    reranker = make(scorer=ByLength(), top_n=1)
    assert rank(reranker, "q", ["a", "bb"]) == [("bb", 2.0)]
    assert reranker.base_url is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "other"),
        ("base_url", "http://127.0.0.1:2/v1"),
        ("max_batch_size", 3),
        ("truncate", "NONE"),
        ("timeout", 7.0),
        ("default_headers", {"x-tenant": "blue"}),
    ],
)
def test_a_setting_can_be_assigned_and_counts(make, name, value):
    reranker = make(model="m", base_url=URL, api_key=KEY, truncate="END")
    before = reranker.scorer
    setattr(reranker, name, value)
    assert getattr(reranker, name) == value
    assert reranker.scorer is not before
    assert reranker.scorer.name == reranker.model


def test_an_assigned_setting_is_sent(nim, make, rank):
    server = nim()
    reranker = make(model="m", base_url=server.url, api_key=KEY)
    reranker.truncate = "END"
    reranker.model = "other"
    reranker.nvidia_api_key = "nvapi-assigned"
    rank(reranker, "q", ["a"])
    (seen,) = server.seen
    assert (seen.json["truncate"], seen.json["model"]) == ("END", "other")
    assert seen.headers["authorization"] == "Bearer nvapi-assigned"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("truncate", "START"),
        ("max_batch_size", 0),
        ("base_url", "bogus"),
        ("model", ""),
        ("timeout", -1),
        ("scorer", "m"),
        ("api_key", "two words"),
        ("top_n", -1),
        ("topn", 3),
    ],
)
def test_a_bad_assignment_is_refused_and_changes_nothing(make, name, value):
    reranker = make(model="m", base_url=URL, api_key=KEY, truncate="END")
    before, scorer = reranker.model_dump(), reranker.scorer
    with pytest.raises(ValueError):
        setattr(reranker, name, value)
    assert reranker.model_dump() == before
    assert reranker.scorer is scorer
    assert reranker.api_key.get_secret_value() == KEY


def test_a_scorer_that_is_assigned_replaces_the_settings(make, rank):
    reranker = make(model="m", base_url=URL, api_key=KEY, truncate="END", top_n=1)
    reranker.scorer = ByLength()
    assert rank(reranker, "q", ["a", "bb"]) == [("bb", 2.0)]
    assert (reranker.model, reranker.base_url, reranker.api_key, reranker.truncate) == (
        None,
        None,
        None,
        None,
    )
    with pytest.raises(ValueError, match="leave truncate out"):
        reranker.truncate = "END"


@pytest.mark.parametrize(("size", "top_n"), [(7, 7), (17, 7), (3, 13), (1, 1), (1, 10), (10, 1)])
def test_whatever_the_batches_the_order_and_the_length_are_right(nim, make, rank, size, top_n):
    server = nim()
    for max_batch_size in (None, 1, 4, size):
        reranker = make(model="m", base_url=server.url, top_n=top_n, max_batch_size=max_batch_size)
        found = rank(reranker, "q", PASSAGES[:size])
        assert found == best(PASSAGES[:size], top_n)
        assert len(found) == min(size, top_n)


@pytest.mark.parametrize(("texts", "top_n"), [([], 5), (PASSAGES, 0), ([], 0)])
def test_nothing_wanted_or_nothing_there_sends_nothing(nim, make, rank, texts, top_n):
    server = nim()
    assert rank(make(base_url=server.url, top_n=top_n), "q", texts) == []
    assert (server.accepted, server.asked) == (0, [])


def test_a_bad_key_is_an_error_with_the_status(nim, make, rank):
    server = nim(default=steps.answer(401, {"detail": "Authentication failed"}))
    with pytest.raises(AuthenticationError, match="401"):
        rank(make(model="m", base_url=server.url, api_key=KEY), "q", ["a"])


def test_a_typo_shows_no_value(make):
    with pytest.raises(ValidationError, match="apikey") as caught:
        make(model="m", base_url=URL, apikey=KEY)
    assert KEY not in str(caught.value)
