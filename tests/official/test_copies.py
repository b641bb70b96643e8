"""Copies, pickles and dumps keep the settings and never the key."""

import copy
import json
import pickle
import traceback

import pytest
from fake_nim import steps
from pydantic import create_model

from nvrerank import AuthenticationError, MissingKeyError, Scorer

KEY = "nvapi-0123456789abcdefghij"
HEADER = "s3cret-value"  # of a header
URL = "http://127.0.0.1:1/v1"
SETTINGS = {
    "model": "fake/reranker",
    "max_batch_size": 7,
    "truncate": "NONE",
    "timeout": 9.0,
    "max_retries": 1,
    "max_concurrency": 2,
    "top_n": 3,
    "threshold": -100.0,
    "score_mode": "logit",
    "on_error": "raise",
}


class ByLength(Scorer):
    def score(self, query, passages):
        return [float(len(passage)) for passage in passages]


@pytest.fixture
def keyed(make):
    """An adapter with all that may be secret."""

    def maker(base_url=URL, **options):
        headers = {"x-tenant": "blue", "x-api-key": HEADER}
        secrets = {"api_key": KEY, "default_headers": headers}
        return make(**{"base_url": base_url, **secrets, **SETTINGS, **options})

    return maker


def pickled(reranker):
    return pickle.loads(pickle.dumps(reranker))


def test_nothing_that_shows_an_adapter_shows_a_secret(keyed):
    reranker = keyed(nvidia_api_key=f"{KEY}x")
    shown = [repr(reranker), str(reranker), f"{reranker}", reranker.model_dump(), reranker.model_dump_json()]
    shown += [
        repr(reranker.__dict__),
        list(reranker),
        reranker.model_dump(mode="json"),
        repr(reranker.scorer),
    ]
    if hasattr(reranker, "to_dict"):
        shown += [reranker.to_dict(), reranker.to_json()]
    assert all(KEY not in str(one) for one in shown)
    assert all(HEADER not in str(one) for one in [*shown[:5], *shown[7:]])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_holds_the_settings_and_no_secret(keyed, protocol):
    data = pickle.dumps(keyed(nvidia_api_key=f"{KEY}x"), protocol)
    assert not any(secret.encode() in data for secret in (KEY, HEADER))
    twin = pickle.loads(data)
    assert twin.model_dump().items() >= SETTINGS.items()
    assert (twin.base_url, twin.default_headers) == (URL, {"x-tenant": "blue"})


def test_what_was_unpickled_asks_for_the_key_and_works_with_it(nim, keyed, rank):
    server = nim()
    twin = pickled(pickled(keyed(server.url)))
    with pytest.raises(MissingKeyError, match="unpickled"):
        rank(twin, "q", ["a"])
    with pytest.raises(MissingKeyError, match="give api_key along"):
        twin.model_copy(update={"truncate": "END"})
    assert not server.accepted
    with twin.model_copy(update={"api_key": KEY}) as keyed_again:
        rank(keyed_again.model_copy(), "q", ["a"])
    with keyed_again.model_copy(update={"truncate": "END"}) as changed:
        rank(changed, "q", ["a"])
    sent = server.seen[0].headers
    assert (sent["authorization"], sent["x-tenant"]) == (f"Bearer {KEY}", "blue")
    assert [seen.json["truncate"] for seen in server.seen] == ["NONE", "END"]


def test_what_was_unpickled_reads_the_environment_again(make, monkeypatch):
    monkeypatch.setenv("NVIDIA_API_KEY", KEY)
    data = pickle.dumps(make(model="nvidia/new", truncate="END"))
    assert KEY.encode() not in data
    twin = pickle.loads(data)
    assert (twin.scorer.name, twin.model, twin.truncate) == ("nvidia/new", "nvidia/new", "END")


def test_what_needs_no_key_works_after_a_pickle(nim, make, rank):
    server = nim()
    with pickled(make(model="m", base_url=server.url, top_n=1)) as twin:
        assert len(rank(twin, "q", ["a", "b"])) == 1


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda one: one.model_copy()])
def test_a_copy_keeps_settings_and_key_and_shares_the_connections(nim, keyed, rank, duplicate):
    server = nim()
    reranker = keyed(server.url)
    twin = duplicate(reranker)
    assert KEY not in repr(twin.__dict__)
    assert twin.model_dump() == reranker.model_dump()
    assert twin.scorer is reranker.scorer
    rank(twin, "q", ["a"])
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_dump_makes_the_same_adapter_again(nim, make, rank):
    server = nim()
    first = make(base_url=server.url, default_headers={"x-tenant": "blue"}, **SETTINGS)
    dumped = json.loads(first.model_dump_json())
    dumped.pop("class_name", None)
    assert "scorer" not in dumped
    again = make(**dumped)
    assert again.model_dump() == first.model_dump()
    assert rank(again, "q", ["a", "b"]) == rank(first, "q", ["a", "b"])
    assert server.seen[0].headers["x-tenant"] == "blue"


@pytest.mark.parametrize("framework", ["llamaindex"], indirect=True)
def test_to_dict_and_from_dict_go_round_without_the_key(nim, keyed, framework, rank):
    server = nim(steps.answer(401, {"detail": "no key"}))
    reranker = keyed(server.url)
    saved = json.loads(json.dumps(reranker.to_dict()))
    assert saved["class_name"] == "NVIDIARerank"
    with framework.ours.from_dict(saved) as again:
        assert again.to_dict() == reranker.to_dict()
        with pytest.raises(AuthenticationError, match="401"):
            rank(again, "q", ["a"])
    with framework.ours.from_json(reranker.to_json(), api_key=KEY) as keyed_again:
        rank(keyed_again, "q", ["a"])
    assert server.seen[-1].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("framework", ["llamaindex"], indirect=True)
def test_from_dict_reads_the_environments_key_or_says_that_there_is_none(make, framework, monkeypatch):
    saved = make(model="nvidia/new", api_key=KEY).to_dict()
    with pytest.raises(MissingKeyError, match="set NVIDIA_API_KEY"):
        framework.ours.from_dict(saved)
    monkeypatch.setenv("NVIDIA_API_KEY", KEY)
    assert framework.ours.from_dict(saved).scorer.name == "nvidia/new"


def test_what_a_dump_lacks_of_a_local_scorer_is_asked_for(make, framework):
    saved = make(scorer=ByLength(), top_n=3).model_dump(mode="json")
    saved.pop("class_name", None)
    readers = [lambda **more: framework.ours(**{**saved, **more})]
    if framework.name == "llamaindex":
        readers.append(lambda **more: framework.ours.from_dict(saved, **more))
        readers.append(lambda **more: framework.ours.from_json(json.dumps(saved), **more))
    for read in readers:
        with pytest.raises(ValueError, match="pass the scorer itself beside what was saved, such as scorer="):
            read()
        assert read(scorer=ByLength()).top_n == 3


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_a_json_schema_can_be_had_as_of_the_official_classes(framework, mode):
    schema = framework.ours.model_json_schema(mode=mode)
    assert json.loads(json.dumps(schema)) == schema
    held = create_model("App", reranker=(framework.ours, ...)).model_json_schema(mode=mode)
    assert "NVIDIARerank" in held["$defs"]
    if mode == "validation":
        fields = schema["properties"]
        assert {"model", "base_url", "top_n", "threshold", "api_key"} <= set(fields)
        for name in ("api_key", "nvidia_api_key"):
            assert fields[name].get("writeOnly") or "password" in json.dumps(fields[name])
        assert "scorer" not in fields  # it can't come from JSON


def frames(error):
    """All that a traceback with local variables shows of our own frames, and the message."""
    shown = [str(error)]
    for cause in (error, error.__cause__, error.__context__):
        for frame, _ in traceback.walk_tb(cause and cause.__traceback__):
            if "nvrerank" in frame.f_code.co_filename and "/tests/" not in frame.f_code.co_filename:
                shown.append(repr(frame.f_locals))
    return "\n".join(shown)


@pytest.mark.parametrize(
    "options",
    [
        {"truncate": "START"},
        {"base_url": "bogus"},
        {"topn": 3},
        {"scorer": "m"},
        {"nvidia_api_key": f"{KEY} {KEY}"},
        {"api_key": KEY.encode()},
        {"nvidia_api_key": [KEY]},
        {"http_client": object()},
        {"default_headers": {"x-api-key": HEADER, "Host": "h"}},
        {"default_headers": {"x-api-key": HEADER, "a": 1}},
    ],
)
def test_no_error_of_the_constructor_shows_a_secret(keyed, options):
    with pytest.raises((ValueError, TypeError)) as caught:
        keyed(**options)
    assert KEY not in frames(caught.value)
    assert HEADER not in frames(caught.value)
    if hasattr(caught.value, "errors"):
        assert KEY not in str(caught.value.errors())


@pytest.mark.parametrize("change", [setattr, lambda one, name, value: one.model_copy(update={name: value})])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_key", f"{KEY} {KEY}"),
        ("api_key", KEY.encode()),
        ("default_headers", {"x-api-key": HEADER, "Host": "h"}),
        ("truncate", "START"),
    ],
)
def test_no_error_of_an_assignment_or_a_copy_shows_a_secret(keyed, change, name, value):
    reranker = keyed()
    with pytest.raises((ValueError, TypeError)) as caught:
        change(reranker, name, value)
    assert KEY not in frames(caught.value)
    assert HEADER not in frames(caught.value)
    assert reranker.default_headers["x-api-key"] == HEADER
