"""The same script with the official classes and with ours, against one NIM: the same requests, the same order
wherever theirs is right, and the right order where it is not.
"""

import warnings
from types import SimpleNamespace

import httpx
import pytest
import requests
from fake_nim import steps, truth

from nvrerank import BadResponseError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what their packages say at import is theirs
    import langchain_nvidia_ai_endpoints
    import llama_index.postprocessor.nvidia_rerank.base

KEY = "nvapi-0123456789abcdefghij"
MODEL = "fake/reranker"
PASSAGES = [f"passage {number}" for number in range(20)]
THEIRS = {
    "langchain": langchain_nvidia_ai_endpoints.NVIDIARerank,
    "llamaindex": llama_index.postprocessor.nvidia_rerank.base.NVIDIARerank,
}


@pytest.fixture
def closing(framework, monkeypatch):
    """Closes a reranker. Theirs leave their connections to the garbage collector, which we don't wait for."""
    opened = []

    def kept(kind):
        opened.append(kind())
        return opened[-1]

    sessions, clients = requests.Session, SimpleNamespace(Client=lambda: kept(httpx.Client))
    monkeypatch.setattr(requests, "Session", lambda: kept(sessions))
    monkeypatch.setattr(llama_index.postprocessor.nvidia_rerank.base, "httpx", clients)

    def close(reranker):
        if isinstance(reranker, framework.ours):
            reranker.close()
        elif framework.name == "langchain":
            reranker._client.last_response = None  # it holds its connection
        while opened:
            opened.pop().close()

    return close


@pytest.fixture
def script(rank, closing):
    """What a user wrote: script(class, server, texts, **options) -> [(text, score), ...]."""

    def run(kind, server, texts, **options):
        reranker = None
        try:
            reranker = kind(**{"model": MODEL, "base_url": server.url, "api_key": KEY, **options})
            return rank(reranker, "q", texts)
        finally:
            closing(reranker)

    return run


@pytest.fixture
def both(nim, framework, script):
    """Runs the script with theirs and with ours, each against a NIM of its own that does the same."""

    def run(does, texts, **options):
        outcomes, servers = [], []
        for kind in (THEIRS[framework.name], framework.ours):
            servers.append(nim(*does()))
            try:
                outcomes.append(script(kind, servers[-1], texts, **options))
            except Exception as error:  # noqa: BLE001 (theirs raise bare Exceptions)
                outcomes.append(error if kind is framework.ours else repr(error))
        return *outcomes, servers

    return run


def best(texts, top_n):
    return sorted(((text, truth("q", text)) for text in texts), key=lambda pair: -pair[1])[:top_n]


def rankings(indices):
    """A reply with these indices, each with its own passage's logit."""

    async def step(wire, seen):
        query, passages = seen.pair
        found = [{"index": index, "logit": truth(query, passages[index])} for index in indices]
        await wire.reply(200, {"rankings": found})

    return step


RIGHT = {
    "all": {"top_n": 20},
    "the best five": {},
    "the best one": {"top_n": 1},
    "more than there are": {"top_n": 50},
    "none": {"top_n": 0},
    "in batches": {"max_batch_size": 6, "top_n": 7},
    "one by one": {"max_batch_size": 1, "top_n": 20},
    "a batch to the brim": {"max_batch_size": 20, "top_n": 4},
    "truncated": {"truncate": "END"},
    "by a SecretStr's older name": {"nvidia_api_key": KEY, "api_key": "nvapi-another"},
}


@pytest.mark.parametrize("options", RIGHT.values(), ids=RIGHT)
def test_ours_gives_the_same_where_theirs_is_right(both, options):
    theirs, ours, _ = both(list, PASSAGES, **options)
    assert ours == theirs == best(PASSAGES, options.get("top_n", 5))


@pytest.mark.parametrize(
    "texts", [[], PASSAGES[:1], ["same", "same", "other"], ["ä ö", "日本\u2028", "nul \x00"]]
)
def test_ours_gives_the_same_for_few_odd_and_equal_texts(both, texts):
    theirs, ours, _ = both(list, texts)
    assert sorted(ours) == sorted(theirs)
    assert [score for _, score in ours] == [score for _, score in theirs]


def test_ours_picks_the_same_model_where_none_is_named(both):
    with pytest.warns(UserWarning, match=MODEL):
        theirs, ours, servers = both(list, PASSAGES, model=None)
    assert ours == theirs
    assert {seen.json["model"] for server in servers for seen in server.seen} == {MODEL}


UNSORTED = list(range(20))
WRONG = {
    "a 503 first": (lambda: [steps.answer(503, b"busy", retry_after="0")], {}),
    "a 429 with Retry-After": (lambda: [steps.answer(429, b"slow down", retry_after="0")], {}),
    "a connection that is reset": (lambda: [steps.reset_at_once], {}),
    "a reply that is cut short": (lambda: [steps.cut_short(0.7)], {}),
    "unsorted rankings": (lambda: [rankings(UNSORTED)], {}),
    "unsorted rankings, all of them": (lambda: [rankings(UNSORTED)], {"top_n": 20}),
    "unsorted rankings in batches": (lambda: [rankings(range(10))] * 2, {"max_batch_size": 10}),
    "no top_n": (list, {"top_n": None}),
    "the second of two batches fails": (
        lambda: [steps.rank(), steps.answer(502, b"")],
        {"max_batch_size": 10},
    ),
}


@pytest.mark.parametrize(("does", "options"), WRONG.values(), ids=WRONG)
def test_ours_is_right_where_theirs_is_wrong(both, does, options):
    theirs, ours, _ = both(does, PASSAGES, **options)
    right = best(PASSAGES, options.get("top_n", 5))
    assert ours == right
    assert theirs != right


GARBLED = {
    "a passage is missing": [0, 1, 2],
    "a passage comes twice": [3, 2, 1, 0, 0],
    "an index below 0": [3, 2, 1, -4],
}


@pytest.mark.parametrize("indices", GARBLED.values(), ids=GARBLED)
def test_ours_takes_no_reply_that_is_no_permutation(both, framework, indices):
    theirs, ours, _ = both(lambda: [rankings(indices)], PASSAGES[:4])
    assert isinstance(ours, BadResponseError)
    if (framework.name, indices[-1]) != ("langchain", -4):  # the one that LangChain's class looks at
        assert isinstance(theirs, list)


def test_ours_takes_no_score_that_is_no_number(both):
    body = b'{"rankings": [{"index": 0, "logit": NaN}, {"index": 1, "logit": 1.0}]}'
    theirs, ours, _ = both(lambda: [steps.answer(200, body)], PASSAGES[:2])
    assert isinstance(ours, BadResponseError)
    assert isinstance(theirs, list)


def test_a_bad_key_is_an_error_of_both_with_its_status(both):
    theirs, ours, _ = both(lambda: [steps.answer(401, {"detail": "Authentication failed"})], PASSAGES)
    assert "401" in str(theirs)
    assert "401" in str(ours)


@pytest.mark.parametrize(
    ("place", "truncate"), [("/v1", None), ("/v1/", "NONE"), ("/p0/p1/v1/", "END"), ("/nim", None)]
)
def test_ours_sends_what_theirs_sends(nim, framework, script, place, truncate):
    sent = []
    for kind in (THEIRS[framework.name], framework.ours):
        server = nim()
        script(kind, server, PASSAGES, base_url=f"http://{server.host}{place}", truncate=truncate)
        sent.append([(seen.path, seen.json, seen.headers["authorization"]) for seen in server.seen])
    assert sent[0] == sent[1]


def test_without_a_key_ours_sends_no_header_where_theirs_sends_something(nim, framework, script):
    sent = []
    for kind in (THEIRS[framework.name], framework.ours):
        server = nim()
        script(kind, server, PASSAGES, api_key=None)
        sent.append(server.seen[0].headers.get("authorization"))
    assert sent[0] in ("Bearer **********", "Bearer NO_API_KEY_PROVIDED")
    assert sent[1] is None


def test_our_constructor_asks_for_no_models_where_llamaindexs_does(nim, framework, closing):
    theirs, ours = nim(), nim()
    for kind, server in ((THEIRS[framework.name], theirs), (framework.ours, ours)):
        closing(kind(model=MODEL, base_url=server.url))
    assert bool(theirs.asked) is (framework.name == "llamaindex")
    assert (ours.asked, ours.accepted) == ([], 0)


def test_their_headers_go_along_with_ours_too(nim, framework, script):
    if framework.name == "langchain":
        theirs = nim()
        script(THEIRS["langchain"], theirs, PASSAGES, default_headers={"x-tenant": "blue"})
        assert theirs.seen[0].headers["x-tenant"] == "blue"
    ours = nim()
    script(framework.ours, ours, PASSAGES, default_headers={"x-tenant": "blue"})
    assert ours.seen[0].headers["x-tenant"] == "blue"


def test_arguments_by_position_are_llamaindexs(nim):
    import llamaindex_nvrerank

    server = nim()
    with llamaindex_nvrerank.NVIDIARerank(MODEL, KEY, None, server.url, None, top_n=2) as reranker:
        assert (reranker.model, reranker.base_url, reranker.top_n) == (MODEL, server.url, 2)


def test_the_models_that_are_available_have_the_same_names(nim, framework, closing):
    names = []
    for kind in (THEIRS[framework.name], framework.ours):
        reranker = kind(model=MODEL, base_url=nim(models=[{"id": "own/base"}, {"id": MODEL}]).url)
        names.append([model.id for model in reranker.available_models])
        closing(reranker)
    assert names[0] == names[1] == ["own/base", MODEL]
