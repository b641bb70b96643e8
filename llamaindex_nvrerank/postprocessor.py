"""A `Scorer` as LlamaIndex's node postprocessor: events, sync and async."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import EllipsisType
from typing import Any

from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle
from pydantic import SerializationInfo, SerializerFunctionWrapHandler, model_serializer

from nvrerank import arerank, rerank
from nvrerank.adapter_fields import RerankFields
from nvrerank.adapters import Candidates, checked_candidates
from nvrerank.nvidia_compat import with_endpoint

from .nodes import candidates_of, ranked_nodes, retrieval_scores

dispatcher = get_dispatcher(__name__)


class NVIDIARerank(RerankFields, BaseNodePostprocessor):
    """Orders retrieved nodes by their relevance to the query, best first.

    What comes back are `RerankedNode`, a `NodeWithScore` that also has the `retrieval_score`, and where there
    are such the `relevance_window`, `relevance_truncated`, `relevance_query_truncated`, `relevance_source`
    and `fused_score`. Its node is a copy with the same id, hash and metadata; the values of the metadata are
    shared. "zscore" takes a node's score for what retrieval scored it, or the `retrieval_score` that an
    earlier reranking kept.

    Blank nodes are not scored and come last, with score None. After a passthrough nothing was scored: nodes
    and scores are as they were.

    The image of an `ImageNode`, an `ImageDocument` or any other node, a PNG or JPEG, is sent beside its text
    or instead of it if the scorer reads images: what the node holds, else its file, else, with
    `fetch_images=True`, its URL. What is not sent is warned of, and the node ranked by its text; one without
    a text is refused with a `RequestRejectedError`.

    Attributes:
        keep_retrieval_score: Whether the retrieval score is also put into `node.metadata["retrieval_score"]`,
            where neither embeddings nor prompts see it. It changes `node.hash`, by which
            `QueryFusionRetriever` and others tell nodes apart.
        callback_manager: Whom to tell.
    """

    keep_retrieval_score: bool = False

    @classmethod
    def class_name(cls) -> str:
        """The name this class has in traces and in `to_dict()`."""
        return "NVIDIARerank"

    def postprocess_nodes(
        self,
        nodes: list[NodeWithScore],
        query_bundle: QueryBundle | None = None,
        query_str: str | None = None,
        *,
        top_n: int | EllipsisType | None = ...,
        instruction: str | None = None,
    ) -> list[NodeWithScore]:
        """Reranks nodes.

        Args:
            nodes: The candidates, in retrieval order; they are not changed.
            query_bundle: The question; not blank.
            query_str: The same as a string.
            top_n: At most so many in this call; None: all; else as the reranker has it.
            instruction: What the model is told of its task; None: as the field says.

        Returns:
            `RerankedNode`s of those that stay, best first.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: There is no query, or it is blank.
            nvrerank.NVRerankError: The scorer failed (unless `on_error="passthrough"`).
        """
        self = self._for_call(top_n, instruction)  # noqa: PLW0642
        return super().postprocess_nodes(nodes, query_bundle, query_str)

    async def apostprocess_nodes(
        self,
        nodes: list[NodeWithScore],
        query_bundle: QueryBundle | None = None,
        query_str: str | None = None,
        *,
        top_n: int | EllipsisType | None = ...,
        instruction: str | None = None,
    ) -> list[NodeWithScore]:
        """As `postprocess_nodes`, without blocking the event loop."""
        self = self._for_call(top_n, instruction)  # noqa: PLW0642
        return await super().apostprocess_nodes(nodes, query_bundle, query_str)

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        candidates, query = checked_candidates(nodes, NodeWithScore, "nodes"), _checked_query(query_bundle)
        with self._events(candidates, query) as result:
            ranked = rerank(**self._rank_arguments(query.query_str, *_of(candidates)))
            result.extend(ranked_nodes(candidates, ranked, keep_retrieval_score=self.keep_retrieval_score))
        return result

    @dispatcher.span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        candidates, query = checked_candidates(nodes, NodeWithScore, "nodes"), _checked_query(query_bundle)
        with self._events(candidates, query) as result:
            ranked = await arerank(**await self._arank_arguments(query.query_str, *_of(candidates)))
            result.extend(ranked_nodes(candidates, ranked, keep_retrieval_score=self.keep_retrieval_score))
        return result

    def _server(self) -> str | None:
        return self.base_url and with_endpoint(self.base_url)

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

    @model_serializer(mode="wrap")
    def custom_model_dump(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        """The fields, and the name of the class."""
        return {**super().custom_model_dump(handler, info), "class_name": self.class_name()}

    def __getstate__(self) -> dict[str, Any]:
        # The base class drops whatever can't be pickled, with no more than a log line: here that is the
        # callback manager alone, and a scorer is refused aloud.
        state = super().__getstate__()
        try:
            pickle.dumps(self.callback_manager)
        except Exception:  # noqa: BLE001 (handlers raise what they like)
            state["__dict__"]["callback_manager"] = CallbackManager()
        return state


def _of(nodes: list[NodeWithScore]) -> tuple[Candidates, Callable[[], list[float | None]]]:
    return candidates_of(nodes), partial(retrieval_scores, nodes)


def _checked_query(query_bundle: QueryBundle | None) -> QueryBundle:
    if query_bundle is None:
        raise ValueError("a reranker needs the query: pass query_str= or query_bundle=")
    if not isinstance(query_bundle, QueryBundle):
        kind = type(query_bundle).__name__
        raise TypeError(f"query_bundle must be a QueryBundle, not {kind}: pass a string as query_str=")
    return query_bundle
