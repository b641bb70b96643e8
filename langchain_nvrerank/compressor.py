"""A `Scorer` as LangChain's document compressor: options, runs for tracers, sync and async."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager, Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import RunnableConfig, RunnableLambda, ensure_config

from nvrerank import arerank, rerank
from nvrerank.fields import RerankFields

from .documents import DOCUMENTS_KEYS, QUERY_KEYS, checked_documents, ranked_documents, value_of


class NVIDIARerank(RerankFields, BaseDocumentCompressor):
    """Orders retrieved documents by their relevance to the query, best first.

    The documents that come back are copies with `metadata["relevance_score"]`, a float; one that they
    had before moves to `metadata["retrieval_score"]`. Blank documents come last and have no
    `relevance_score`. After a passthrough nothing was scored and the metadata is as it was.

    Attributes:
        scorer, top_n, threshold, score_mode, on_error: See `nvrerank.fields.RerankFields`.
        run_type: What tracers show a reranking as: "chain", which all of them know, or "reranker",
            which OpenInference shows as a span of its own kind.

    Raises:
        pydantic.ValidationError: An option is unknown, of the wrong type or out of range.
    """

    run_type: Literal["chain", "reranker"] = "chain"

    def compress_documents(
        self, documents: Iterable[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Reranks documents.

        Args:
            documents: The candidates, in retrieval order; they are not changed.
            query: The question; not blank.
            callbacks: Whom to tell; None: the callbacks of the chain this call is made in.

        Returns:
            Copies of the documents that stay, best first.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: The query is blank.
            nvrerank.NVRerankError: The scorer failed (unless `on_error="passthrough"`).
        """
        candidates = checked_documents(documents)
        manager = CallbackManager.configure(_own_or_inherited(callbacks), local_metadata=self._run_metadata())
        run = manager.on_chain_start(None, {"query": query, "documents": candidates}, **self._run_kind())
        try:
            ranked = rerank(self.scorer, query, _texts(candidates), **self._rank_options())
            result = ranked_documents(candidates, ranked)
        except BaseException as error:
            run.on_chain_error(error)
            raise
        run.on_chain_end({"documents": result})
        return result

    async def acompress_documents(
        self, documents: Iterable[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """As `compress_documents`, without blocking the event loop."""
        candidates = checked_documents(documents)
        manager = AsyncCallbackManager.configure(
            _own_or_inherited(callbacks), local_metadata=self._run_metadata()
        )
        run = await manager.on_chain_start(
            None, {"query": query, "documents": candidates}, **self._run_kind()
        )
        try:
            ranked = await arerank(self.scorer, query, _texts(candidates), **self._rank_options())
            result = ranked_documents(candidates, ranked)
        except BaseException as error:
            await run.on_chain_error(error)
            raise
        await run.on_chain_end({"documents": result})
        return result

    def as_runnable(
        self, *, query_key: str | None = None, documents_key: str | None = None
    ) -> RunnableLambda[Mapping[str, Any], list[Document]]:
        """A runnable from a mapping that holds the query and the documents to the reranked documents.

        `RunnablePassthrough.assign(context=reranker.as_runnable()) | prompt | llm` takes, for instance,
        `{"question": "...", "context": [Document(...), ...]}`. A key that is missing is a `ValueError` that
        names it.

        Args:
            query_key: Where the query is; None: the first there is of "query", "question", "input".
            documents_key: Where the documents are; None: the first there is of "documents", "context".
        """
        query_keys = QUERY_KEYS if query_key is None else (query_key,)
        documents_keys = DOCUMENTS_KEYS if documents_key is None else (documents_key,)

        def asked(inputs: Mapping[str, Any]) -> tuple[Any, Any]:
            return value_of(inputs, documents_keys), value_of(inputs, query_keys)

        def rerank_documents(inputs: Mapping[str, Any], config: RunnableConfig) -> list[Document]:
            return self.compress_documents(*asked(inputs), config.get("callbacks"))

        async def arerank_documents(inputs: Mapping[str, Any], config: RunnableConfig) -> list[Document]:
            return await self.acompress_documents(*asked(inputs), config.get("callbacks"))

        return RunnableLambda(rerank_documents, arerank_documents, name="rerank_documents")

    def _run_kind(self) -> dict[str, Any]:
        return {"name": type(self).__name__, "run_type": self.run_type}

    def _run_metadata(self) -> dict[str, Any]:
        return {"scorer": self.scorer.name, **self._rank_options()}


def _texts(documents: Iterable[Document]) -> list[str]:
    return [document.page_content for document in documents]


def _own_or_inherited(callbacks: Callbacks | None) -> Callbacks | None:
    return ensure_config().get("callbacks") if callbacks is None else callbacks
