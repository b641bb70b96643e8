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
    reranker = make(scorer=ByLength(), top_n=1, api_key="", default_headers={})
    assert rank(reranker, "q", ["a", "bb"]) == [("bb", 2.0)]
    assert reranker.base_url is None


CHANGES = {
    "model": "other",
    "base_url": "http://127.0.0.1:2/v1",
    "max_batch_size": 3,
    "long_passages": "truncate",
    "truncate": "NONE",
    "scale": "logit",
    "reads_images": False,
    "extra_body": {"seed": 1},
    "default_headers": {"x-tenant": "blue"},
    "timeout": 7.0,
    "max_retries": 1,
    "max_concurrency": 2,
    "verify": False,
    "send_key_over_http": True,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *CHANGES.items(),
        ("api_key", "k"),
        ("nvidia_api_key", "k"),
        ("nvidia_base_url", URL),
        ("verify_ssl", False),
        ("extra_headers", {"x": "y"}),
        ("scorer", ByLength()),
    ],
)
def test_what_belongs_to_the_scorer_is_not_assigned_and_the_message_says_what_to_do(make, name, value):
    reranker = make(model="m", base_url=URL, api_key=KEY, truncate="END")
    before, scorer = reranker.model_dump(), reranker.scorer
    with pytest.raises(ValueError, match=rf"make a new NVIDIARerank with it, or .*update=\{{'{name}': ...}}"):
        setattr(reranker, name, value)
    assert (reranker.model_dump(), reranker.scorer) == (before, scorer)


@pytest.mark.parametrize(("name", "value"), CHANGES.items())
def test_a_copy_with_another_setting_has_a_scorer_of_its_own(make, name, value):
    reranker = make(model="m", base_url=URL, api_key=KEY, top_n=2)
    before, scorer = reranker.model_dump(), reranker.scorer
    twin = reranker.model_copy(update={name: value})
    assert twin.model_dump() == {**before, name: value}
    assert twin.scorer is not scorer
    assert (twin.scorer.name, twin.api_key) == (twin.model, reranker.api_key)
    assert (reranker.model_dump(), reranker.scorer) == (before, scorer)
    twin.close()


def test_every_setting_of_the_scorer_is_tried_here(framework):
    named = set(framework.ours.model_fields) - set(CHANGES)
    ranking = {"top_n", "threshold", "score_mode", "on_error", "fuse", "instruction", "fetch_images"}
    own = {"langchain": {"run_type"}, "llamaindex": {"keep_retrieval_score", "callback_manager"}}
    assert named == {"api_key", "scorer"} | ranking | own[framework.name]


def test_what_a_copy_was_told_is_sent(nim, make, rank):
    server = nim()
    told = {"truncate": "END", "model": "other", "nvidia_api_key": "nvapi-other", "extra_headers": {"x": "y"}}
    with make(model="m", base_url=server.url, api_key=KEY).model_copy(update=told) as twin:
        rank(twin, "q", ["a"])
    (seen,) = server.seen
    assert (seen.json["truncate"], seen.json["model"]) == ("END", "other")
    assert (seen.headers["authorization"], seen.headers["x"]) == ("Bearer nvapi-other", "y")


def test_a_copy_with_another_way_to_rank_shares_the_scorer(make, rank):
    reranker = make(scorer=ByLength())
    twin = reranker.model_copy(update={"top_n": "1", "score_mode": "sigmoid", "threshold": 0.5})
    assert twin.scorer is reranker.scorer
    assert (twin.top_n, twin.score_mode, reranker.top_n) == (1, "sigmoid", 5)
    assert len(rank(twin, "q", ["a", "bb"])) == 1


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"truncate": "START"}, "truncate"),
        ({"max_batch_size": 0}, "max_batch_size"),
        ({"base_url": "bogus"}, "base_url"),
        ({"timeout": -1}, "timeout"),
        ({"scorer": "m"}, "instance of Scorer"),
        ({"api_key": "two words"}, "api_key holds blanks"),
        ({"http_client": object()}, "timeout="),
        ({"scorer": ByLength(), "truncate": "END"}, "leave truncate out"),
        ({"top_n": -1}, "top_n must be 0 or more"),
        ({"topn": 3}, "topn"),
    ],
)
def test_a_copy_with_a_bad_argument_is_refused_and_changes_nothing(make, update, words):
    reranker = make(model="m", base_url=URL, api_key=KEY, truncate="END")
    before, scorer = reranker.model_dump(), reranker.scorer
    with pytest.raises(ValueError, match=words):
        reranker.model_copy(update=update)
    assert (reranker.model_dump(), reranker.scorer) == (before, scorer)


def test_a_copy_with_a_scorer_has_none_of_the_settings(make, rank):
    reranker = make(model="m", base_url=URL, api_key=KEY, truncate="END", top_n=1)
    twin = reranker.model_copy(update={"scorer": ByLength()})
    assert rank(twin, "q", ["a", "bb"]) == [("bb", 2.0)]
    assert [twin.model, twin.base_url, twin.api_key, twin.truncate] == [None] * 4
    with pytest.raises(ValueError, match="leave truncate out"):
        twin.model_copy(update={"truncate": "END"})
    assert twin.model_copy(update={"scorer": None, "model": "m", "base_url": URL}).scorer.name == "m"


@pytest.mark.parametrize(
    ("name", "value"),
    [("top_n", 2), ("threshold", 0.5), ("score_mode", "sigmoid"), ("on_error", "passthrough")],
)
def test_how_to_rank_can_be_assigned_and_keeps_the_scorer(make, name, value):
    reranker = make(model="m", base_url=URL)
    scorer = reranker.scorer
    setattr(reranker, name, value)
    assert (getattr(reranker, name), reranker.scorer) == (value, scorer)


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
