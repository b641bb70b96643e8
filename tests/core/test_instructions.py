"""An instruction reaches the model from every door, is part of what scores are kept by, or is refused."""

from __future__ import annotations

import asyncio
import hashlib
import json
import pickle

import httpx
import pytest
from fake_nim import FakeNIM
from fake_nim.steps import rank
from fastapi.testclient import TestClient
from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, TextNode
from support.spans import recording
from typer.testing import CliRunner

import langchain_nvrerank
import llamaindex_nvrerank
from nvrerank import (
    Cached,
    Cascade,
    Fallback,
    HostedScorer,
    InvalidArgumentError,
    Limited,
    LocalScorer,
    Scorer,
    ServiceUnavailableError,
    Windowed,
    arerank,
    rerank,
    scorer_of,
)
from nvrerank.cli import app
from nvrerank.server import create_app
from nvrerank.tracing import CAPTURE

TOLD = "Find the clause that forbids it"
PASSAGES = ["short", "a longer passage", "the longest passage of all"]


class Told(Scorer):
    """Scores by length, more with an instruction; notes what it was told."""

    def __init__(self, instruction=None, asked=None):
        self._told, self.asked = instruction, [] if asked is None else asked

    @property
    def instruction(self):
        return self._told

    @property
    def identity(self):
        return {"instruction": self._told}

    def _instructed(self, instruction):
        return Told(instruction, self.asked)

    def _score(self, query, passages):
        self.asked.append(self._told)
        return [float(len(passage) + len(self._told or "")) for passage in passages]


@pytest.fixture(params=["sync", "async"])
def ask(request):
    if request.param == "sync":
        return rerank
    return lambda *given, **options: asyncio.run(arerank(*given, **options))


def test_a_call_tells_the_model_and_the_next_call_does_not(ask):
    scorer = Told()
    told, plain = ask(scorer, "q", PASSAGES, instruction=TOLD), ask(scorer, "q", PASSAGES)
    assert scorer.asked == [TOLD, None]
    assert told[0].score == plain[0].score + len(TOLD)


def test_a_calls_instruction_takes_the_scorers_place(ask):
    scorer = Told("another")
    ask(scorer, "q", PASSAGES, instruction=TOLD)
    ask(scorer, "q", PASSAGES)
    assert scorer.asked == [TOLD, "another"]


@pytest.mark.parametrize(("wrong", "error"), [("", ValueError), (" \n", ValueError), (7, TypeError)])
def test_a_blank_instruction_and_one_that_is_no_text_are_refused(wrong, error):
    with pytest.raises(error, match="instruction"):
        rerank(Told(), "q", PASSAGES, instruction=wrong)
    with pytest.raises(error, match="instruction"):
        HostedScorer("m", base_url="http://h/rerank", instruction=wrong)


@pytest.mark.parametrize("on_error", ["raise", "passthrough"])
def test_a_scorer_without_a_place_for_it_refuses_and_never_drops_it(ask, on_error):
    with pytest.raises(InvalidArgumentError, match="nvrerank-bundled has no place for an instruction"):
        ask(LocalScorer(device="cpu"), "q", PASSAGES, instruction=TOLD, on_error=on_error)
    with pytest.raises(InvalidArgumentError, match="no place"):
        LocalScorer(device="cpu", instruction=TOLD)


AROUND = {
    "cached": Cached,
    "limited": lambda scorer: Limited(scorer, max_concurrency=1),
    "windowed": lambda scorer: Windowed(scorer, size=50),
    "cascade": lambda scorer: Cascade(Told(), scorer, keep=2),
    "fallback": lambda scorer: Fallback(scorer, Told()),
    "all": lambda scorer: Fallback(Windowed(Cached(Limited(scorer, max_concurrency=2)), size=50), Told()),
}


@pytest.mark.parametrize("kind", AROUND)
def test_scorers_made_of_scorers_hand_it_on(ask, kind):
    inner = Told()
    scorer = AROUND[kind](inner)
    told, plain = ask(scorer, "q", PASSAGES, instruction=TOLD), ask(scorer, "q", PASSAGES)
    assert inner.asked == [TOLD, None]
    assert told[0].score == plain[0].score + len(TOLD)
    assert scorer.with_instruction(TOLD).instruction == TOLD
    assert scorer.instruction is None


def test_scores_are_kept_for_each_instruction_apart_and_the_store_is_one():
    inner = Told()
    cached = Cached(inner)
    for instruction in (TOLD, None, TOLD, "another", None):
        rerank(cached, "q", PASSAGES, instruction=instruction)
    assert inner.asked == [TOLD, None, "another"]


def test_a_cascade_of_which_one_part_has_no_place_refuses_but_a_part_can_be_told_by_itself():
    cascade = Cascade(LocalScorer(device="cpu"), Told(), keep=2)
    with pytest.raises(InvalidArgumentError, match="nvrerank-bundled"):
        rerank(cascade, "q", PASSAGES, instruction=TOLD)
    strong = Told()
    rerank(Cascade(LocalScorer(device="cpu"), strong.with_instruction(TOLD), keep=2), "q", PASSAGES)
    assert strong.asked == [TOLD]


def test_a_fallback_keeps_its_account_over_calls_with_instructions():
    class Down(Told):
        def _instructed(self, instruction):
            return Down(instruction, self.asked)

        def _score(self, query, passages):
            self.asked.append(self._told)
            raise ServiceUnavailableError("down")

    down = Down()
    fallback = Fallback(down, Told(), failures=2)
    with pytest.warns(UserWarning, match="down"):
        rerank(fallback, "q", PASSAGES, instruction=TOLD)
    for _ in range(3):
        rerank(fallback, "q", PASSAGES, instruction=TOLD)
    assert len(down.asked) == 2


def test_a_trace_has_a_digest_and_the_text_only_if_texts_are_captured(monkeypatch, ask):
    monkeypatch.delenv(CAPTURE, raising=False)
    spans = recording(monkeypatch)[1].get_finished_spans
    ask(Told(), "q", PASSAGES, instruction=TOLD)
    monkeypatch.setenv(CAPTURE, "true")
    ask(Told(), "q", PASSAGES, instruction=TOLD)
    closed, open_ = spans()
    assert closed.attributes["nvrerank.instruction.digest"] == hashlib.sha256(TOLD.encode()).hexdigest()[:16]
    assert TOLD not in closed.to_json()
    assert open_.attributes["nvrerank.instruction"] == TOLD


def served(bodies, refuse=()):
    def answer(request):
        body = json.loads(request.content)
        bodies.append(body)
        if unknown := next((name for name in refuse if name in body), None):
            return httpx.Response(422, json={"message": f"unknown field {unknown}"})
        results = [{"index": at, "relevance_score": float(-at)} for at in range(len(body["documents"]))]
        return httpx.Response(200, json={"results": results})

    return httpx.MockTransport(answer)


def test_a_server_of_coheres_protocol_is_told_in_the_members_that_servers_know(ask):
    bodies: list[dict] = []
    with HostedScorer("m", base_url="http://h/rerank", transport=served(bodies)) as scorer:
        ask(scorer, "q", PASSAGES, instruction=TOLD)
        ask(scorer, "q", PASSAGES)
    assert (bodies[0]["instruction"], bodies[0]["instruct"]) == (TOLD, TOLD)
    assert not bodies[1].keys() & {"instruction", "instruct"}


def test_a_member_that_a_server_refuses_is_left_out_as_long_as_the_other_says_it():
    bodies: list[dict] = []
    scorer = HostedScorer("m", base_url="http://h/rerank", transport=served(bodies, ["instruct"]))
    told = scorer.with_instruction(TOLD)
    told.score("q", PASSAGES)
    told.score("q", PASSAGES)
    assert [("instruct" in body, body["instruction"]) for body in bodies] == [
        (True, TOLD),
        (False, TOLD),
        (False, TOLD),
    ]


def test_a_server_that_refuses_an_instruction_is_an_error():
    scorer = HostedScorer("m", base_url="http://h/rerank", transport=served([], ["instruction"]))
    with pytest.raises(Exception, match="instruction"):
        scorer.with_instruction(TOLD).score("q", PASSAGES)


@pytest.mark.parametrize(
    "options", [{"base_url": "http://h/v1"}, {"base_url": "http://h", "protocol": "tei"}]
)
def test_protocols_without_a_place_refuse_it(options):
    with pytest.raises(InvalidArgumentError, match="has no place for an instruction"):
        HostedScorer("m", instruction=TOLD, **options)
    with pytest.raises(InvalidArgumentError, match="has no place"):
        HostedScorer("m", **options).with_instruction(TOLD)


def test_an_instruction_beside_one_in_extra_body_is_refused():
    with pytest.raises(InvalidArgumentError, match="extra_body holds 'instruction', too"):
        HostedScorer("m", base_url="http://h/rerank", extra_body={"instruction": "x"}, instruction=TOLD)


def test_what_a_scorer_learnt_and_whether_it_is_closed_is_shared():
    scorer = HostedScorer("m", base_url="http://h/rerank", transport=served([]))
    scorer.with_instruction(TOLD).score("q", PASSAGES)
    assert scorer.scale == "logit"
    told = scorer.with_instruction(TOLD)
    scorer.close()
    with pytest.raises(RuntimeError, match="closed"):
        told.score("q", PASSAGES)


def test_a_pickle_and_a_repr_keep_it():
    scorer = HostedScorer("m", base_url="http://h/rerank").with_instruction(TOLD)
    twin = pickle.loads(pickle.dumps(scorer))
    assert twin.instruction == TOLD
    assert twin.identity == scorer.identity
    assert repr(TOLD) in repr(twin)


def test_a_specification_holds_it():
    spec = {"hosted": {"model": "m", "base_url": "http://h/rerank", "instruction": TOLD}}
    assert scorer_of(spec).instruction == TOLD


def compressed(reranker, **call):
    return reranker.compress_documents([Document(text) for text in PASSAGES], "q", **call)


def acompressed(reranker, **call):
    return asyncio.run(reranker.acompress_documents([Document(text) for text in PASSAGES], "q", **call))


def postprocessed(reranker, **call):
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in PASSAGES]
    return reranker.postprocess_nodes(nodes, query_str="q", **call)


def apostprocessed(reranker, **call):
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in PASSAGES]
    return asyncio.run(reranker.apostprocess_nodes(nodes, query_str="q", **call))


ADAPTERS = {
    "langchain": (langchain_nvrerank.NVIDIARerank, compressed),
    "langchain async": (langchain_nvrerank.NVIDIARerank, acompressed),
    "llamaindex": (llamaindex_nvrerank.NVIDIARerank, postprocessed),
    "llamaindex async": (llamaindex_nvrerank.NVIDIARerank, apostprocessed),
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters_take_it_as_a_field_and_for_a_call(name):
    kind, run = ADAPTERS[name]
    scorer = Told()
    reranker = kind(scorer=scorer, instruction=TOLD)
    run(reranker)
    run(reranker, instruction="another")
    run(kind(scorer=scorer))
    assert scorer.asked == [TOLD, "another", None]
    assert reranker.model_dump()["instruction"] == TOLD


def test_langchain_takes_it_by_a_calls_config_and_beside_plain_texts():
    scorer = Told()
    reranker = langchain_nvrerank.NVIDIARerank(scorer=scorer)
    asked = {"query": "q", "documents": [Document(text) for text in PASSAGES]}
    told = {"configurable": {"instruction": TOLD}}
    reranker.as_runnable().invoke(asked, config=told)
    asyncio.run(reranker.as_node().ainvoke(asked, config=told))
    reranker.rerank(PASSAGES, "q", instruction=TOLD)
    asyncio.run(reranker.arerank(PASSAGES, "q", instruction=TOLD))
    reranker.as_runnable().invoke(asked)
    assert scorer.asked == [TOLD, TOLD, TOLD, TOLD, None]


@pytest.mark.parametrize("name", ["langchain", "llamaindex"])
def test_adapters_refuse_at_once_what_can_be_refused(name):
    kind, _ = ADAPTERS[name]
    with pytest.raises(ValueError, match="no place for an instruction"):
        kind(scorer="bundled", instruction=TOLD)
    with pytest.raises(ValueError, match="blank"):
        kind(scorer=Told(), instruction=" ")


class Nameless(Told):
    """Says of itself what it is, and not what it was told."""

    @property
    def identity(self):
        return {"name": "nameless"}

    def _instructed(self, instruction):
        return Nameless(instruction, self.asked)


def test_scores_are_kept_apart_even_where_a_scorers_identity_forgets_it():
    scorer = Nameless()
    cached = Cached(scorer)
    for told in (None, TOLD, None, TOLD):
        rerank(cached, "q", PASSAGES, instruction=told)
    assert scorer.asked == [None, TOLD]


def test_the_command_line_takes_it(tmp_path):
    (tmp_path / "a.txt").write_text("one passage\n\nanother passage")
    scorer = Told()
    run = CliRunner().invoke(
        app, ["rank", "q", str(tmp_path / "a.txt"), "--instruction", TOLD], obj=lambda _: scorer
    )
    assert run.exit_code == 0, run.output
    assert set(scorer.asked) == {TOLD}
    refused = CliRunner().invoke(app, ["rank", "q", str(tmp_path / "a.txt"), "--instruction", TOLD])
    assert refused.exit_code != 0


@pytest.mark.parametrize("given", [["--scorer", "bundled"], []])
def test_a_server_of_the_command_line_refuses_before_it_starts(given):
    refused = CliRunner().invoke(app, ["serve", "--instruction", TOLD, *given])
    assert refused.exit_code == 2
    assert "no place for an instruction" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_server_of_the_command_line_tells_its_scorer_where_a_request_says_nothing(monkeypatch):
    served = []
    monkeypatch.setattr("nvrerank.server.serve", lambda scorer, **_: served.append(scorer))
    with FakeNIM([rank()] * 2) as upstream:
        spec = f"hosted:fake/m@{upstream.url}/rerank"
        run = CliRunner().invoke(app, ["serve", "--scorer", spec, "--instruction", TOLD])
        assert run.exit_code == 0, run.output
        body = {"query": "q", "documents": PASSAGES}
        with TestClient(create_app(served[0])) as client:
            for more in ({}, {"instruction": "another"}):
                assert client.post("/v1/rerank", json=body | more).status_code == 200
        assert [one.json["instruction"] for one in upstream.seen] == [TOLD, "another"]
