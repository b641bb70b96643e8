"""A `Scorer` as LangChain's document compressor: runs for tracers, sync and async."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import EllipsisType
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager, Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import RunnableLambda, ensure_config

from nvrerank import arerank, rerank
from nvrerank.adapter_fields import RerankFields
from nvrerank.adapters import Candidates, checked_candidates
from nvrerank.fusion import as_data, as_fusion

from .documents import (
    PLACE_KEY,
    SCORE_KEY,
    candidates_of,
    numbered,
    ranked_documents,
    retrieval_scores,
)
from .openinference import under_run
from .runnables import Asked, step, where


class NVIDIARerank(RerankFields, BaseDocumentCompressor):
    """Orders retrieved documents by their relevance to the query, best first.

    The documents that come back are copies with `metadata["relevance_score"]`, a float; one that they
    had before moves to `metadata["retrieval_score"]`. The metadata is a new dictionary with the same values.

    Blank documents are not scored and come last, with -inf for a `relevance_score` (0.0 if `score_mode` is
    "sigmoid"), so that it can be compared, sorted and formatted. After a passthrough nothing was scored: the
    metadata is as it was, and a `relevance_score` that was not there is None.

    A document's `metadata["image"]`, a data URL of a PNG or JPEG, is sent beside its text or instead of it if
    the scorer reads images, a URL only with `fetch_images=True`. What is not sent is warned of, and the
    document ranked by its text; one without a text is refused with a `RequestRejectedError`.

    Where a document was scored in parts, `metadata["relevance_window"]` is the best of them as [start, end]
    of `page_content`; where its end is known not to have been read, `metadata["relevance_truncated"]` is
    True, and where the query's is, `metadata["relevance_query_truncated"]` is. Where several scorers could
    have answered, `metadata["relevance_source"]` names the one that did. `fuse` orders by
    `metadata["fused_score"]`. "zscore" takes what retrieval scored from the first of
    `metadata["retrieval_score"]`, `["relevance_score"]` and `["score"]` that is a number.

    Attributes:
        run_type: What tracers show a reranking as: "chain", which all of them know, or "reranker",
            which OpenInference shows as a span of its own kind.
    """

    run_type: Literal["chain", "reranker"] = "chain"

    def compress_documents(
        self,
        documents: Iterable[Document],
        query: str,
        callbacks: Callbacks | None = None,
        *,
        top_n: int | EllipsisType | None = ...,
        instruction: str | None = None,
    ) -> list[Document]:
        """Reranks documents.

        Args:
            documents: The candidates, in retrieval order; they are not changed.
            query: The question; not blank.
            callbacks: Whom to tell; None: the callbacks of the chain this call is made in.
            top_n: At most so many in this call; None: all; else as the reranker has it.
            instruction: What the model is told of its task; None: as the field says.

        Returns:
            Copies of the documents that stay, best first.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: The query is blank.
            nvrerank.NVRerankError: The scorer failed (unless `on_error="passthrough"`).
        """
        self = self._for_call(top_n, instruction)  # noqa: PLW0642
        candidates = checked_candidates(documents, Document, "documents")
        run = self._start(CallbackManager, callbacks, query, candidates)
        try:
            with under_run(run, self._reranker_attributes()):
                ranked = rerank(**self._rank_arguments(query, *_of(candidates)))
            result = ranked_documents(candidates, ranked, self.score_mode)
        except BaseException as error:
            run.on_chain_error(error)
            raise
        run.on_chain_end({"documents": result})
        return result

    async def acompress_documents(
        self,
        documents: Iterable[Document],
        query: str,
        callbacks: Callbacks | None = None,
        *,
        top_n: int | EllipsisType | None = ...,
        instruction: str | None = None,
    ) -> list[Document]:
        """As `compress_documents`, without blocking the event loop."""
        self = self._for_call(top_n, instruction)  # noqa: PLW0642
        candidates = checked_candidates(documents, Document, "documents")
        run = await self._start(AsyncCallbackManager, callbacks, query, candidates)
        try:
            with under_run(run, self._reranker_attributes()):
                ranked = await arerank(**await self._arank_arguments(query, *_of(candidates)))
            result = ranked_documents(candidates, ranked, self.score_mode)
        except BaseException as error:
            await run.on_chain_error(error)
            raise
        await run.on_chain_end({"documents": result})
        return result

    def rerank(
        self,
        documents: Iterable[str | Document],
        query: str,
        *,
        top_n: int | EllipsisType | None = ...,
        instruction: str | None = None,
        callbacks: Callbacks | None = None,
    ) -> list[dict[str, Any]]:
        """Reranks texts or documents and tells where they stood, as Cohere's class does.

        Args:
            documents: The candidates, in retrieval order.
            query: The question; not blank.
            top_n: At most so many; None: all; else as the reranker has it.
            instruction: What the model is told of its task; None: as the field says.
            callbacks: As for `compress_documents`, whose errors it raises.

        Returns:
            `{"index": ..., "relevance_score": ...}` of those that stay, best first.
        """
        told: dict[str, Any] = {"top_n": top_n, "instruction": instruction}
        return _places(self.compress_documents(_candidates(documents), query, callbacks, **told))

    async def arerank(
        self,
        documents: Iterable[str | Document],
        query: str,
        *,
        top_n: int | EllipsisType | None = ...,
        instruction: str | None = None,
        callbacks: Callbacks | None = None,
    ) -> list[dict[str, Any]]:
        """As `rerank`, without blocking the event loop."""
        told: dict[str, Any] = {"top_n": top_n, "instruction": instruction}
        return _places(await self.acompress_documents(_candidates(documents), query, callbacks, **told))

    def as_runnable(
        self, *, query_key: str | None = None, documents_key: str | None = None
    ) -> RunnableLambda[Mapping[str, Any], list[Document]]:
        """A runnable from a mapping that holds the query and the documents to the reranked documents.

        `RunnablePassthrough.assign(context=reranker.as_runnable()) | prompt | llm` takes, for instance,
        `{"question": "...", "context": [Document(...), ...]}`. A key that is missing is a `ValueError` that
        names it. `config={"configurable": {"top_n": 3}}` is for one call; so is
        "instruction".

        Args:
            query_key: Where the query is, or messages, of which the last of a person's is the query; None:
                the first there is of "query", "question", "input", "messages".
            documents_key: Where the documents are; None: the first there is of "documents", "context".
        """
        return step(self, where(query_key, documents_key), lambda _, documents: documents)

    def as_node(
        self, *, query_key: str | None = None, documents_key: str | None = None
    ) -> RunnableLambda[Any, dict[str, list[Document]]]:
        """A node of a LangGraph graph, from the state to its documents, reranked, under the key they came by.

        `graph.add_node("rerank", reranker.as_node())`. The state is a mapping, a dataclass or a pydantic
        model; its keys are found as by `as_runnable`.
        """
        return step(self, where(query_key, documents_key), lambda asked, documents: {asked.key: documents})

    def with_query(self, query: str) -> RunnableLambda[Iterable[Document], list[Document]]:
        """A runnable from documents to those that answer this query: `retriever | reranker.with_query(q)`."""
        return step(self, lambda documents: Asked(documents, query), lambda _, documents: documents)

    def _start(
        self,
        manager: type[CallbackManager | AsyncCallbackManager],
        callbacks: Callbacks | None,
        query: str,
        documents: list[Document],
    ) -> Any:
        """Starts a run of the caller's, or of the chain that this call is made in."""
        inherited = ensure_config().get("callbacks") if callbacks is None else callbacks
        metadata = {"scorer": self.scorer.name, **self._rank_options(), "fuse": as_data(as_fusion(self.fuse))}
        inputs = {"query": query, "documents": documents}
        return manager.configure(inherited, local_metadata=metadata).on_chain_start(
            None, inputs, name=type(self).__name__, run_type=self.run_type
        )

    def _reranker_attributes(self) -> dict[str, Any]:
        """What OpenInference tells of a span of the kind RERANKER, without texts."""
        if self.run_type != "reranker":
            return {}
        top_k = {} if self.top_n is None else {"reranker.top_k": self.top_n}
        return {"reranker.model_name": self.scorer.name, **top_k}


def _candidates(documents: Iterable[str | Document]) -> list[Document]:
    if isinstance(documents, str) or not isinstance(documents, Iterable):
        raise TypeError(f"documents must be a list of texts or documents, not one {type(documents).__name__}")
    return numbered(Document(one) if isinstance(one, str) else one for one in documents)


def _places(documents: Iterable[Document]) -> list[dict[str, Any]]:
    return [{"index": one.metadata[PLACE_KEY], SCORE_KEY: one.metadata[SCORE_KEY]} for one in documents]


def _of(documents: list[Document]) -> tuple[Candidates, Callable[[], list[float | None]]]:
    return candidates_of(documents), partial(retrieval_scores, documents)
