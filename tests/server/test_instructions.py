"""A caller's instruction reaches the scorer in batches of its own, or is refused with 422."""

from __future__ import annotations

import pytest
from core.test_instructions import TOLD, Told
from fastapi.testclient import TestClient

from nvrerank import LocalScorer
from nvrerank.server import create_app

BODY = {"query": "q", "documents": ["short", "a longer passage"]}


@pytest.mark.parametrize("member", ["instruction", "instruct"])
def test_a_request_tells_the_model_and_the_next_one_does_not(member):
    scorer = Told()
    with TestClient(create_app(scorer)) as client:
        for body in (BODY | {member: TOLD}, BODY):
            assert client.post("/v1/rerank", json=body).status_code == 200
    assert scorer.asked == [TOLD, None]


def test_calls_with_different_instructions_in_one_batch_get_their_own():
    from nvrerank.server.call_queue import QueuedCall
    from nvrerank.server.packing import PackedScorer

    packed = PackedScorer(Told(), None, None)  # type: ignore[arg-type]  # nothing is queued
    batch = [QueuedCall("q", ["one"], told) for told in (TOLD, None, "another", TOLD)]
    assert [one[0].logit for one in packed._scored(batch)] == [
        3.0 + len(told) for told in (TOLD, "", "another", TOLD)
    ]
    assert packed.scorer.asked == [TOLD, TOLD, None, "another"]


def test_a_model_without_a_place_refuses_with_422_and_the_members_name():
    with TestClient(create_app(LocalScorer(device="cpu"))) as client:
        answer = client.post("/v1/rerank", json=BODY | {"instruction": TOLD})
    assert answer.status_code == 422
    assert "no place for an instruction" in answer.json()["message"]
    assert answer.json()["detail"][0]["loc"] == ["body", "instruction"]
