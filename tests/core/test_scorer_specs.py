"""scorer_of: one maker of scorers for Python, the adapters, the command line and the evaluation."""

from __future__ import annotations

import json
import traceback

import pytest
from fake_nim import FakeNIM
from support.checkpoints import write_cross_encoder
from support.simple_scorers import Length

from nvrerank import (
    Cached,
    Cascade,
    Fallback,
    HostedScorer,
    Limited,
    LocalScorer,
    MissingKeyError,
    ModelLoadError,
    RateLimitError,
    ServiceUnavailableError,
    Windowed,
    rerank,
    scorer_of,
)

NIM = "http://nim:8000/v1"


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("NVIDIA_API_KEY", "nvapi-from-the-environment")
    monkeypatch.delenv("NVIDIA_BASE_URL", raising=False)


@pytest.mark.parametrize(
    ("spec", "same"),
    [
        ("bundled", LocalScorer),
        ("embedded", LocalScorer),
        ("local:org/name", lambda: LocalScorer("org/name")),
        ("local:org/name@v1.0", lambda: LocalScorer("org/name", revision="v1.0")),
        ("hosted:nvidia/m", lambda: HostedScorer("nvidia/m")),
        (f"hosted:nvidia/m@{NIM}", lambda: HostedScorer("nvidia/m", base_url=NIM)),
        (f"hosted:{NIM}", lambda: HostedScorer(base_url=NIM)),
        (NIM, lambda: HostedScorer(base_url=NIM)),
        ("https://h/rerank", lambda: HostedScorer(base_url="https://h/rerank")),
        ({"bundled": None}, LocalScorer),
        ({"local": "org/name@v1.0"}, lambda: LocalScorer("org/name", revision="v1.0")),
        ({"local": {"model": "org/name", "max_length": 99}}, lambda: LocalScorer("org/name", max_length=99)),
        ({"hosted": f"m@{NIM}"}, lambda: HostedScorer("m", base_url=NIM)),
        ({"hosted": {"base_url": NIM, "scale": "logit"}}, lambda: HostedScorer(base_url=NIM, scale="logit")),
        ({"windowed": {"scorer": "bundled", "size": 90}}, lambda: Windowed(LocalScorer(), size=90)),
        ({"windowed": "bundled"}, lambda: Windowed(LocalScorer())),
        ({"cached": {"bundled": {"max_length": 9}}}, lambda: Cached(LocalScorer(max_length=9))),
        (
            {"cascade": {"cheap": "bundled", "strong": NIM, "keep": 7}},
            lambda: Cascade(LocalScorer(), HostedScorer(base_url=NIM), keep=7),
        ),
        (
            {"limited": {"scorer": "bundled", "requests_per_minute": 40, "max_wait": 1.5}},
            lambda: Limited(LocalScorer(), requests_per_minute=40, max_wait=1.5),
        ),
        ({"fallback": [NIM, "bundled"]}, lambda: Fallback(HostedScorer(base_url=NIM), LocalScorer())),
    ],
    ids=str,
)
def test_a_string_or_a_mapping_makes_what_the_classes_make(spec, same):
    made, expected = scorer_of(spec), same()
    assert type(made) is type(expected)
    assert repr(made) == repr(expected)
    if not isinstance(spec, str):
        assert repr(scorer_of(json.dumps(spec))) == repr(expected), "the same as JSON text"


def test_scorers_nest_as_deep_as_they_are_wanted(tmp_path):
    spec = {
        "fallback": {
            "scorers": [
                {
                    "cached": {
                        "scorer": {"limited": {"scorer": "hosted:nvidia/m", "max_concurrency": 2}},
                        "path": str(tmp_path / "scores.db"),
                    }
                },
                "bundled",
            ],
            "on": ["RateLimitError", "ServiceUnavailableError"],
            "thresholds": [0.5, None],
            "retry_after": 30,
        }
    }
    made = scorer_of(spec)
    same = Fallback(
        Cached(Limited(HostedScorer("nvidia/m"), max_concurrency=2), tmp_path / "scores.db"),
        LocalScorer(),
        on=[RateLimitError, ServiceUnavailableError],
        thresholds=[0.5, None],
        retry_after=30,
    )
    assert repr(made) == repr(same)
    assert (made._on, made._thresholds) == (same._on, same._thresholds)
    assert spec["fallback"]["on"] == ["RateLimitError", "ServiceUnavailableError"], "it stays as it was"


def test_a_folder_is_scored_with(tmp_path):
    folder = write_cross_encoder(tmp_path / "model", "bert")
    assert scorer_of(f"local:{folder}").score("q", ["a"]) == LocalScorer(folder).score("q", ["a"])


def test_a_folder_whose_name_has_an_at_sign_is_a_folder(tmp_path):
    folder = write_cross_encoder(tmp_path / "a@b" / "model", "bert")
    assert scorer_of(f"local:{folder}").folder == tmp_path / "a@b" / "model"


def test_a_scorer_is_itself_also_within_a_mapping():
    length = Length()
    assert scorer_of(length) is length
    assert scorer_of({"windowed": {"scorer": length, "size": 9}}).scorer is length
    assert rerank(scorer_of({"fallback": [length, "bundled"]}), "q", ["a"]).answered_by == "length"


def test_device_and_max_length_are_for_local_models_that_do_not_say_it():
    made = scorer_of(
        {"cascade": {"cheap": {"bundled": {"max_length": 64}}, "strong": "bundled"}},
        device="cpu",
        max_length=99,
    )
    assert (made.cheap.max_length, made.strong.max_length) == (64, 99)
    assert isinstance(scorer_of(NIM, device="cpu"), HostedScorer)


def test_a_key_is_named_by_its_environment_variable(monkeypatch):
    with FakeNIM() as nim:
        spec = {"hosted": {"model": "m", "base_url": nim.url, "api_key_env": "NIM_KEY"}}
        with pytest.raises(MissingKeyError, match="api_key_env names NIM_KEY, which is not set"):
            scorer_of(spec)
        monkeypatch.setenv("NIM_KEY", "secret-of-the-nim")
        with scorer_of(spec) as scorer:
            scorer.score("q", ["a"])
        assert [one.headers["authorization"] for one in nim.seen] == ["Bearer secret-of-the-nim"]


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": "nvapi-secret"},
        {"headers": {"Authorization": "nvapi-secret"}},
        {"api_key_env": "nvapi-secret"},
        {"api_key_env": "nvapi_secret", "timeout": 0},
    ],
    ids=str,
)
def test_a_configuration_holds_no_key_and_no_error_repeats_it(monkeypatch, options):
    monkeypatch.setenv("nvapi_secret", "nvapi-secret")
    with pytest.raises(ValueError) as caught:
        scorer_of({"hosted": {"base_url": "https://nim.example/v1", **options}})
    assert "nvapi-secret" not in str(caught.value)


def test_no_frame_of_ours_shows_a_key_of_the_environment(monkeypatch):
    monkeypatch.setenv("NIM_KEY", "nvapi-secret")
    with pytest.raises(ValueError, match="timeout") as caught:
        scorer_of({"hosted": {"base_url": "https://nim.example/v1", "api_key_env": "NIM_KEY", "timeout": 0}})
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    told = "".join(shown.format())
    assert "api_key" in told
    assert "nvapi-secret" not in told


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        *[
            (text, ValueError, "a scorer is bundled, local:FOLDER_OR_NAME")
            for text in ("", "none", "bundled:x", "local:", "hosted:", "hosted:m@nowhere", "hosted:a b")
        ],
        ("BAAI/bge-reranker-v2-m3", ValueError, "for this machine write local:BAAI/bge-reranker-v2-m3"),
        ('{"cached": {"scorer": 7}}', ValueError, "a string, a mapping or a Scorer, not int"),
        ("{broken", ValueError, "is JSON, and this is not"),
        (
            "{}",
            ValueError,
            "one key, of bundled, local, hosted, windowed, cached, limited, cascade, fallback",
        ),
        ({"bundled": None, "local": "a/b"}, ValueError, "this one's: bundled, local"),
        ({"cashed": "bundled"}, ValueError, "this one's: cashed"),
        ({"local": {"modle": "a/b"}}, ValueError, "local has no argument 'modle': it has model, revision"),
        ({"bundled": {"model": "a/b"}}, ValueError, "bundled has no argument 'model': it has device"),
        ({"bundled": "a/b"}, ValueError, "bundled takes its arguments by name"),
        ({"cascade": ["bundled", "bundled"]}, ValueError, "cascade takes its arguments by name"),
        ({"hosted": {"api_key": "x"}}, ValueError, "name the environment variable that does in api_key_env"),
        ({"hosted": {"transport": "x"}}, ValueError, "make the HostedScorer with it"),
        ({"hosted": {"api_key_env": "a-b"}}, ValueError, "must be the name of an environment variable"),
        (
            {"fallback": {"scorers": ["bundled", "bundled"], "on": ["OSError"]}},
            ValueError,
            "no error 'OSError'",
        ),
        ({"fallback": ["bundled"]}, ValueError, "give two or more"),
        ({"cached": {"fallback": ["bundled", "bundled"]}}, TypeError, "can't be cached"),
        ({"cached": {"scorer": 7}}, TypeError, "a string, a mapping or a Scorer, not int"),
        ({"limited": {"scorer": "bundled"}}, ValueError, "nothing is limited"),
        ({"limited": {"max_concurrency": 1}}, ValueError, "limited needs scorer"),
        ({"cascade": {"cheap": "bundled"}}, ValueError, "cascade needs strong"),
        (7, TypeError, "a string, a mapping or a Scorer, not int"),
        ("local:./nowhere", ModelLoadError, "is not a folder"),
    ],
    ids=str,
)
def test_a_bad_specification_is_refused_with_what_there_is(spec, kind, message):
    with pytest.raises(kind, match=message):
        scorer_of(spec)
