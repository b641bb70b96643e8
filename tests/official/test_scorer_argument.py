"""scorer= takes a scorer, one made of scorers, or what describes one."""

from __future__ import annotations

import json
import pickle

import pytest
from support.simple_scorers import Known, Length, down

from nvrerank import Cached, Cascade, Fallback, FallbackWarning, HostedScorer, LocalScorer, MissingKeyError

TEXTS = ["a", "ccc", "bb"]


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("bundled", LocalScorer),
        ("http://nim:8000/v1", HostedScorer),
        ({"cascade": {"cheap": "bundled", "strong": "http://nim:8000/v1"}}, Cascade),
        ({"fallback": ["hosted:m@http://nim:8000/v1", {"local": {"model": "a/b"}}]}, Fallback),
    ],
    ids=str,
)
def test_a_string_or_a_mapping_is_made_a_scorer(framework, spec, kind):
    with framework.ours(scorer=spec, top_n=2) as reranker:
        assert type(reranker.scorer) is kind
        assert type(reranker.model_copy(update={"scorer": "bundled"}).scorer) is LocalScorer


def test_it_ranks_with_what_was_described(rank, framework):
    bundled = framework.ours(scorer=LocalScorer(device="cpu"), top_n=None)
    described = framework.ours(scorer={"bundled": {"device": "cpu"}}, top_n=None)
    assert rank(described, "a cat", TEXTS) == rank(bundled, "a cat", TEXTS)
    assert rank(pickle.loads(pickle.dumps(described)), "a cat", TEXTS) == rank(bundled, "a cat", TEXTS)


@pytest.mark.parametrize(
    "spec", ["bundled", {"fallback": ["hosted:m@http://nim:8000/v1", "bundled"]}], ids=str
)
def test_a_dump_holds_what_describes_the_scorer_and_makes_it_again(framework, spec):
    reranker = framework.ours(scorer=spec, top_n=2).model_copy(update={"threshold": 0.5})
    saved = json.loads(reranker.model_dump_json())
    saved.pop("class_name", None)
    again = framework.ours(**saved)
    assert saved["scorer"] == spec
    assert repr(again.scorer) == repr(reranker.scorer)
    assert (again.top_n, again.threshold) == (2, 0.5)
    assert pickle.loads(pickle.dumps(again)).model_dump()["scorer"] == spec
    passed = again.model_copy(update={"scorer": Length()})
    assert passed.model_dump()["scorer"] == "length"


def test_a_description_that_holds_a_scorer_is_dumped_as_its_name(framework):
    reranker = framework.ours(scorer={"windowed": {"scorer": Length(), "size": 9}})
    assert reranker.model_dump(mode="json")["scorer"] == "length"


def test_what_was_described_is_closed_and_what_was_passed_is_its_owners(framework, monkeypatch):
    closed = []
    monkeypatch.setattr(LocalScorer, "close", lambda scorer: closed.append(scorer.name), raising=False)
    with framework.ours(scorer={"fallback": ["bundled", "bundled"]}):
        pass
    assert len(closed) == 2
    length = Length()
    with framework.ours(scorer=length):
        pass
    assert not length.closed


def test_a_description_without_its_key_asks_for_it(framework, monkeypatch):
    monkeypatch.delenv("NVIDIA_API_KEY", raising=False)
    with pytest.raises(MissingKeyError, match="NVIDIA_API_KEY"):
        framework.ours(scorer="hosted:nvidia/llama-nemotron-rerank-1b-v2")


@pytest.mark.parametrize("model", ["BAAI/bge-reranker-v2-m3", "Qwen/Qwen3-Reranker-0.6B"])
def test_a_model_of_the_hub_points_to_local_scoring_instead_of_asking_for_a_key(
    framework, monkeypatch, model
):
    monkeypatch.delenv("NVIDIA_API_KEY", raising=False)
    with pytest.raises(MissingKeyError, match=rf"scorer='local:{model}' runs it on this machine"):
        framework.ours(model=model)
    with pytest.raises(MissingKeyError, match="wants a key"):
        framework.ours(model="nvidia/llama-nemotron-rerank-1b-v2")


def test_who_answered_is_seen_beside_each_document(framework):
    first, second = Known("first"), Length("second")
    fallback = Fallback(Cached(first), second)
    reranker = framework.ours(scorer=fallback, top_n=None)
    candidates = [framework.wrap(text) for text in TEXTS]
    assert {source(one) for one in framework.call(reranker, candidates, "q")} == {"first"}
    first.fails = down()
    with pytest.warns(FallbackWarning):
        again = framework.call(reranker, framework.call(reranker, candidates, "q"), "another question")
    assert {source(one) for one in again} == {"second"}
    alone = framework.ours(scorer=second)
    assert {source(one) for one in framework.call(alone, again, "q")} == {None}


def source(one):
    if hasattr(one, "metadata") and not hasattr(one, "node"):
        return one.metadata.get("relevance_source")
    return one.relevance_source
