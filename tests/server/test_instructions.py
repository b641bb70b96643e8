"""A caller's instruction reaches the scorer, or is refused with 422."""

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


def test_a_model_without_a_place_refuses_with_422_and_the_members_name():
    with TestClient(create_app(LocalScorer(device="cpu"))) as client:
        answer = client.post("/v1/rerank", json=BODY | {"instruction": TOLD})
    assert answer.status_code == 422
    assert "no place for an instruction" in answer.json()["message"]
    assert answer.json()["detail"][0]["loc"] == ["body", "instruction"]
