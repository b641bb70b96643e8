"""`RerankSelector` where LlamaIndex asks which tool to use, sync and async."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from llama_index.core.base.base_selector import SelectorResult
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import CustomQueryEngine, RouterQueryEngine
from llama_index.core.tools import QueryEngineTool, ToolMetadata
from support.simple_scorers import ByOverlap

from llamaindex_nvrerank import RerankSelector
from nvrerank import Scorer, ServiceUnavailableError

CHOICES = ["tells of rain and sun", "knows what a cat eats", "finds how bread is baked"]


class Down(Scorer):
    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        raise ServiceUnavailableError("down for a while")


@pytest.fixture(params=["sync", "async"])
def select(request: pytest.FixtureRequest) -> Callable[..., SelectorResult]:
    def selected(selector: RerankSelector, choices: Sequence[Any], query: str) -> SelectorResult:
        if request.param == "sync":
            return selector.select(choices, query)
        return asyncio.run(selector.aselect(choices, query))

    return selected


Select = Callable[..., SelectorResult]


def test_the_choice_that_fits_is_selected(select: Select) -> None:
    result = select(RerankSelector(ByOverlap()), CHOICES, "what the cat eats")
    assert (result.ind, result.reason) == (1, "relevance 3.000")


def test_several_come_best_first(select: Select) -> None:
    result = select(RerankSelector(ByOverlap(), top_n=2), CHOICES, "cat eats rain")
    assert result.inds == [1, 0]


def test_a_threshold_leaves_out_what_does_not_fit(select: Select) -> None:
    selector = RerankSelector(ByOverlap(), top_n=None, threshold=1)
    assert select(selector, CHOICES, "cat eats rain").inds == [1, 0]
    assert select(selector, CHOICES, "volcano").inds == []


def test_a_tool_is_known_by_its_name_too(select: Select) -> None:
    choices = [ToolMetadata(name="maps", description=""), ToolMetadata(name="cats", description="")]
    assert select(RerankSelector(ByOverlap()), choices, "all cats").ind == 1


def test_a_failure_is_the_scorer_s_error(select: Select) -> None:
    with pytest.raises(ServiceUnavailableError):
        select(RerankSelector(Down()), CHOICES, "cat")


@pytest.mark.parametrize("wrong", [{"top_n": -1}, {"threshold": "high"}])
def test_bad_arguments_fail_at_once(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        RerankSelector("bundled", **wrong)


class Says(CustomQueryEngine):
    text: str

    def custom_query(self, query_str: str) -> str:
        return self.text


def test_a_router_asks_the_engine_that_fits() -> None:
    tools = [
        QueryEngineTool.from_defaults(Says(text=text), name=f"t{n}", description=text)
        for n, text in enumerate(CHOICES)
    ]
    router = RouterQueryEngine(selector=RerankSelector(ByOverlap()), query_engine_tools=tools, llm=MockLLM())
    assert str(router.query("how is bread baked")) == CHOICES[2]
