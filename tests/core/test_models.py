"""The registry knows each model by every name, and where it is hosted."""

from __future__ import annotations

from datetime import date

import pytest

from nvrerank import MODELS
from nvrerank.models import NVIDIA_PROMPT, find, hosted_path


@pytest.mark.parametrize("spelling", ["3.2", "3_2", "3-2"])
def test_a_version_may_be_spelled_three_ways(spelling):
    model = find(f"nvidia/llama-{spelling}-nv-rerankqa-1b-v2")
    assert model is not None
    assert model.id == "nvidia/llama-3.2-nv-rerankqa-1b-v2"


@pytest.mark.parametrize(
    ("alias", "model_id"),
    [
        ("nvidia/llama-3.2-nemoretriever-500m-rerank-v2", "nvidia/llama-nemotron-rerank-500m-v2"),
        ("ai-rerank-qa-mistral-4b", "nv-rerank-qa-mistral-4b:1"),
        ("NVIDIA/Llama-Nemotron-Rerank-1B-v2", "nvidia/llama-nemotron-rerank-1b-v2"),
    ],
)
def test_an_alias_finds_its_model(alias, model_id):
    model = find(alias)
    assert model is not None
    assert model.id == model_id


def test_an_unknown_name_finds_nothing():
    assert find("nvidia/never-heard-of") is None


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("nvidia/llama-nemotron-rerank-1b-v2", "/v1/retrieval/nvidia/llama-nemotron-rerank-1b-v2/reranking"),
        ("nvidia/llama-3.2-nv-rerankqa-1b-v2", "/v1/retrieval/nvidia/llama-3_2-nv-rerankqa-1b-v2/reranking"),
        ("nv-rerank-qa-mistral-4b:1", "/v1/retrieval/nvidia/reranking"),
        ("meta/new-rerank-2.5b", "/v1/retrieval/meta/new-rerank-2_5b/reranking"),
    ],
)
def test_the_hosted_path_follows_from_the_name(name, path):
    assert hosted_path(name) == path


@pytest.mark.parametrize("name", ["", "bogus", "/x", "x/", "a/b/c"])
def test_a_name_without_an_organisation_is_refused(name):
    with pytest.raises(ValueError, match="write it as org/name"):
        hosted_path(name)


def test_a_model_that_is_not_hosted_says_to_give_a_base_url():
    with pytest.raises(ValueError, match="base_url of a NIM"):
        hosted_path("nvidia/nv-rerankqa-mistral-4b-v3")


def test_a_retired_model_names_a_successor_that_is_not_retired():
    retired = find("nvidia/llama-3.2-nv-rerankqa-1b-v2")
    assert retired is not None
    assert retired.retired == date(2026, 5, 18)
    for model in MODELS:
        if model.retired:
            successor = find(model.successor or "")
            assert successor is not None
            assert successor.retired is None


def test_no_two_models_share_a_name():
    names = [name for model in MODELS for name in (model.id, *model.aliases)]
    assert len({name.lower() for name in names}) == len(names)
    assert all(find(name) is not None for name in names)


def test_contexts_and_prompts_are_the_model_cards():
    contexts = {model.id: model.context for model in MODELS}
    assert contexts["nvidia/llama-nemotron-rerank-1b-v2"] == 8192
    assert contexts["nvidia/nv-rerankqa-mistral-4b-v3"] == 512
    assert NVIDIA_PROMPT.format(query="Q", passage="P") == "question:Q \n \n passage:P"
