"""A `Scorer` as LlamaIndex's node postprocessor: options, events, sync and async."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle

from nvrerank import arerank, rerank
from nvrerank.fields import RerankFields

from .nodes import checked_nodes, ranked_nodes, text_of

dispatcher = get_dispatcher(__name__)


class NVIDIARerank(RerankFields, BaseNodePostprocessor):
    """Orders retrieved nodes by their relevance to the query, best first.

    What comes back are new `NodeWithScore`. The retrieval score is kept in
    `node.metadata["retrieval_score"]` of a copy of the node, where neither embeddings nor prompts see
    it. Blank nodes come last, with score None. After a passthrough nothing was scored: nodes and
    retrieval scores are as they were.

    Attributes:
        scorer, top_n, threshold, score_mode, on_error: See `nvrerank.fields.RerankFields`.

    Raises:
        pydantic.ValidationError: An option is unknown, of the wrong type or out of range.
    """

    @classmethod
    def class_name(cls) -> str:
        """The name this class has in traces and in `to_dict()`."""
        return "NVIDIARerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        candidates, query = checked_nodes(nodes), _checked_query(query_bundle)
        with self._events(candidates, query) as result:
            texts = map(text_of, candidates)
            ranked = rerank(self.scorer, query.query_str, texts, **self._rank_options())
            result.extend(ranked_nodes(candidates, ranked))
        return result

    @dispatcher.span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        candidates, query = checked_nodes(nodes), _checked_query(query_bundle)
        with self._events(candidates, query) as result:
            texts = map(text_of, candidates)
            ranked = await arerank(self.scorer, query.query_str, texts, **self._rank_options())
            result.extend(ranked_nodes(candidates, ranked))
        return result

    @contextmanager
    def _events(self, nodes: list[NodeWithScore], query: QueryBundle) -> Iterator[list[NodeWithScore]]:
        """Start and end in both event systems, whatever happens between.

        Yields:
            The list that the caller fills with the result; it is what the end events report.
        """
        result: list[NodeWithScore] = []
        top_n = len(nodes) if self.top_n is None else self.top_n
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self.scorer.name,
            EventPayload.QUERY_STR: query.query_str,
            EventPayload.TOP_K: top_n,
        }
        start = ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=self.scorer.name)
        dispatcher.event(start)
        try:
            with self.callback_manager.event(CBEventType.RERANKING, payload) as event:
                yield result
                event.on_end({EventPayload.NODES: result})
        finally:
            dispatcher.event(ReRankEndEvent(nodes=result))

    def __getstate__(self) -> dict[str, Any]:
        # The base class drops what can't be pickled with no more than a log line, and from the live
        # object: a scorer is refused aloud instead, and the rest is dropped from a copy.
        pickle.dumps(self.scorer)
        return BaseNodePostprocessor.__getstate__(self.model_copy())


def _checked_query(query_bundle: QueryBundle | None) -> QueryBundle:
    if query_bundle is None:
        raise ValueError("a reranker needs the query: pass query_str= or query_bundle=")
    if not isinstance(query_bundle, QueryBundle):
        kind = type(query_bundle).__name__
        raise TypeError(f"query_bundle must be a QueryBundle, not {kind}: pass a string as query_str=")
    return query_bundle
