"""The key is in no repr, log, error, traceback frame of ours or pickle, and goes nowhere it should not."""

import asyncio
import copy
import gc
import logging
import pickle
import traceback

import httpx
import pytest
from fake_nim import steps

from nvrerank import HostedScorer, MissingKeyError, NVRerankError

KEY = "nvapi-0123456789abcdefghij"
QUERY, PASSAGE = "what does the treaty say?", "The treaty says nothing about herrings."


def frames_of_ours(error):
    """Locals of our frames of an error and of everything it is chained to."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "nvrerank" in frame.f_code.co_filename and "/tests/" not in frame.f_code.co_filename:
                yield from frame.f_locals.values()
        error = error.__cause__ or error.__context__


def shown(error):
    """Everything that a person or a crash reporter may get to see of an error."""
    attributes = [repr(value) for value in vars(error).values()]
    frames = [repr(value) for value in frames_of_ours(error)]
    return "\n".join([str(error), repr(error), *attributes, *frames])


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": f"{KEY} {KEY}"},
        {"api_key": f"{KEY}\x00"},
        {"api_key": KEY.encode()},
        {"api_key": KEY, "timeout": 0},
        {"api_key": KEY, "base_url": "bogus"},
        {"api_key": KEY, "base_url": "http://nim:8000/v1"},
        {"api_key": KEY, "headers": {"authorization": f"Bearer {KEY}"}},
        {"headers": {"authorization": f"Bearer {KEY}\n"}},
        {"headers": {"x-key": f"{KEY}é"}},
    ],
)
def test_no_error_of_the_constructor_shows_the_key(options):
    with pytest.raises((ValueError, TypeError)) as caught:
        HostedScorer(**({"model": "m", "base_url": "http://127.0.0.1:1/v1"} | options))
    assert KEY not in shown(caught.value)


ECHO = {"detail": f"\x1b[31mkey Bearer {KEY} can't rank {PASSAGE!r} for {QUERY!r}", "input": PASSAGE}


@pytest.mark.parametrize(
    "step",
    [
        steps.answer(401, ECHO),
        steps.answer(422, ECHO),
        steps.answer(422, {"detail": [{"loc": ["body"], "msg": ECHO["detail"], "input": PASSAGE}]}),
        steps.answer(503, ECHO, retry_after_ms="1"),
        steps.answer(404, ECHO["detail"].encode(), content_type="text/plain"),
        steps.answer(302, b"", location=f"http://evil.example/{KEY}?k={KEY}", x_request_id=KEY),
        steps.answer(500, ECHO, x_request_id=f"id {KEY}", retry_after_ms="1"),
        steps.answer(200, ECHO),
        steps.raw(f"HTTP/1.1 {KEY} {PASSAGE}\r\n\r\n".encode()),
    ],
)
@pytest.mark.parametrize("options", [{"api_key": KEY}, {"headers": {"Authorization": f"Bearer {KEY}"}}])
def test_no_error_or_log_shows_the_key_or_a_text(nim, hosted, score, caplog, step, options):
    caplog.set_level(logging.DEBUG)
    scorer = hosted(nim(default=step), max_retries=1, **options)
    with pytest.raises(NVRerankError) as caught:
        score(scorer, QUERY, [PASSAGE])
    assert KEY not in shown(caught.value)
    said = str(caught.value) + str(caught.value.reason)
    assert "\x1b" not in said
    assert "herrings" not in said
    assert "treaty" not in said
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name == "nvrerank")
    assert ours.startswith("POST 1 passages in ")
    assert not any(word in ours for word in (KEY, "treaty", "127.0.0.1"))
    assert not any(
        KEY in record.getMessage() for record in caplog.records if "response" not in record.getMessage()
    )


def test_a_cancelled_call_shows_no_key(nim, hosted):
    scorer = hosted(nim(default=steps.hang), api_key=KEY)

    async def main():
        async with asyncio.timeout(0.1):
            await scorer.ascore(QUERY, [PASSAGE])

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(main())
    assert KEY not in shown(caught.value)


def test_no_repr_of_anything_that_is_held_shows_the_key(hosted):
    scorer = hosted(
        model="m", base_url="http://127.0.0.1:1/v1", api_key=KEY, headers={"x-api-key": "s3cret-value"}
    )
    for thing in (scorer, vars(scorer), *vars(scorer).values(), *gc.get_referents(scorer)):
        assert KEY not in repr(thing)
        assert "s3cret" not in repr(thing)


@pytest.fixture
def copied():
    return lambda scorer: pickle.loads(pickle.dumps(scorer))


def test_a_pickle_holds_no_key_and_no_secret_header(nim, hosted, copied):
    server = nim()
    headers = {"x-api-key": "s3cret-value", "x-tenant": "blue"}
    scorer = hosted(server, api_key=KEY, headers=headers, timeout=7)
    data = pickle.dumps(scorer)
    assert not any(secret in data for secret in (KEY.encode(), b"s3cret-value"))
    copy = pickle.loads(data)
    assert copy.name == "fake/reranker"
    with pytest.raises(MissingKeyError, match=r"with_key\(...\)"):
        copy.score(QUERY, [PASSAGE])
    assert not server.accepted


def test_a_copy_that_is_given_the_key_again_works(nim, hosted, copied):
    server = nim()
    copy = copied(hosted(server, api_key=KEY, headers={"x-tenant": "blue"}))
    with copy.with_key(KEY) as again:
        again.score(QUERY, [PASSAGE])
    sent = server.seen[0].headers
    assert (sent["authorization"], sent["x-tenant"]) == (f"Bearer {KEY}", "blue")


def test_a_bad_key_given_again_is_not_shown(hosted):
    scorer = hosted(model="m", base_url="http://127.0.0.1:1/v1")
    with pytest.raises(ValueError) as caught:
        scorer.with_key(f"{KEY} {KEY}")
    assert KEY not in shown(caught.value)


def test_a_copy_reads_the_environment_again_where_the_key_was_from_there(hosted, copied, monkeypatch):
    monkeypatch.setenv("NVIDIA_API_KEY", KEY)
    scorer = hosted(model="nvidia/new")
    assert KEY.encode() not in pickle.dumps(scorer)
    assert copied(scorer).name == "nvidia/new"
    data = pickle.dumps(scorer)
    monkeypatch.delenv("NVIDIA_API_KEY")
    with pytest.raises(MissingKeyError, match="unpickled"):
        pickle.loads(data).score(QUERY, [PASSAGE])


def test_a_copy_goes_where_the_original_did(hosted, copied, monkeypatch):
    scorer = hosted(model="m", base_url="http://127.0.0.1:1/v1")
    monkeypatch.setenv("NVIDIA_BASE_URL", "http://elsewhere/v1")
    assert repr(copied(scorer)) == repr(scorer)


def test_a_copy_that_needs_no_key_works(nim, hosted, copied):
    with copied(hosted(nim())) as copy:
        assert len(copy.score(QUERY, [PASSAGE])) == 1


def test_a_copy_in_the_same_process_is_the_scorer_itself(hosted):
    scorer = hosted(model="m", base_url="http://127.0.0.1:1/v1", api_key=KEY)
    assert copy.copy(scorer) is scorer
    assert copy.deepcopy({"a": [scorer]})["a"][0] is scorer


def test_without_a_key_there_is_no_header(nim, hosted, score):
    server = nim()
    score(hosted(server), QUERY, [PASSAGE])
    assert "authorization" not in server.seen[0].headers


def test_the_environments_key_stays_at_home(nim, hosted, score, monkeypatch):
    monkeypatch.setenv("NVIDIA_API_KEY", KEY)
    server = nim()
    score(hosted(server), QUERY, [PASSAGE])
    assert KEY not in str(server.seen[0].headers)


def test_a_key_that_was_passed_goes_to_a_server_of_ones_own(nim, hosted, ask):
    server = nim()
    scorer = hosted(server, api_key=KEY, model=None)
    with pytest.warns(UserWarning, match="fake/reranker"):
        ask(scorer, "score", QUERY, [PASSAGE])
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"


def test_the_callers_own_headers_go_along(nim, hosted, score):
    server = nim()
    score(hosted(server, headers={"X-Tenant": "blue", "Authorization": "Basic abc"}), QUERY, [PASSAGE])
    sent = server.seen[0].headers
    assert (sent["x-tenant"], sent["authorization"]) == ("blue", "Basic abc")


def test_no_cookie_is_kept(nim, hosted, ask):
    server = nim(steps.answer(503, b"", set_cookie="id=1; Path=/", retry_after="0"))
    ask(hosted(server), "score", QUERY, [PASSAGE])
    assert "cookie" not in server.seen[1].headers


def test_the_key_never_follows_a_redirect(hosted, score):
    asked = []

    def answer(request):
        asked.append(request.url.host)
        return httpx.Response(308, headers={"location": "https://evil.example/v1/ranking"})

    scorer = hosted(model="nvidia/new", api_key=KEY, transport=httpx.MockTransport(answer))
    with pytest.raises(NVRerankError, match=r"redirects to https://evil.example/v1/ranking"):
        score(scorer, QUERY, [PASSAGE])
    assert asked == ["ai.api.nvidia.com"]
