"""A `Scorer` as LlamaIndex's selector: it chooses the tools, or query engines, that fit a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.base_selector import BaseSelector, SelectorResult, SingleSelection
from llama_index.core.prompts.mixin import PromptDictType
from llama_index.core.schema import QueryBundle
from llama_index.core.tools.types import ToolMetadata

from nvrerank import Ranking, Scorer, arerank, rerank, scorer_of
from nvrerank.ranking import RankOptions


class RerankSelector(BaseSelector):
    """Chooses by name and description, where `LLMSingleSelector` and `LLMMultiSelector` ask a language model.

    `RouterQueryEngine(selector=RerankSelector(scorer), query_engine_tools=tools)`. The selections come best
    first, each with its score for a reason.

    Args:
        scorer: `nvrerank.LocalScorer()` or any other `nvrerank.Scorer`, or what `nvrerank.scorer_of` makes
            one of: "bundled", "hosted:MODEL".
        top_n: At most so many choices; 1: a single one.
        threshold: Least score of a choice, inclusive; where none has it, none is chosen.

    Raises:
        TypeError, ValueError: An argument is of the wrong type or out of range.
    """

    def __init__(
        self,
        scorer: Scorer | str | Mapping[str, Any],
        *,
        top_n: int | None = 1,
        threshold: float | None = None,
    ) -> None:
        options = RankOptions(top_n, threshold)
        self.scorer = scorer_of(scorer)
        self.top_n, self.threshold = options.top_n, options.threshold

    def _select(self, choices: Sequence[ToolMetadata], query: QueryBundle) -> SelectorResult:
        return _selected(rerank(**self._arguments(choices, query)))

    async def _aselect(self, choices: Sequence[ToolMetadata], query: QueryBundle) -> SelectorResult:
        return _selected(await arerank(**self._arguments(choices, query)))

    def _arguments(self, choices: Sequence[ToolMetadata], query: QueryBundle) -> dict[str, Any]:
        asked = {"scorer": self.scorer, "query": query.query_str, "passages": [_text(one) for one in choices]}
        return asked | {"top_n": self.top_n, "threshold": self.threshold}

    def _get_prompts(self) -> PromptDictType:
        return {}

    def _update_prompts(self, prompts: PromptDictType) -> None:
        """There are none."""


def _text(choice: ToolMetadata) -> str:
    return f"{choice.name}: {choice.description}" if choice.name else choice.description


def _selected(ranked: Ranking) -> SelectorResult:
    scored = [one for one in ranked if one.score is not None]
    return SelectorResult(
        selections=[SingleSelection(index=one.index, reason=f"relevance {one.score:.3f}") for one in scored]
    )
