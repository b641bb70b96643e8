"""A `Scorer` as LangChain's document compressor: runs for tracers, sync and async."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager, Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import RunnableConfig, RunnableLambda, ensure_config

from nvrerank import arerank, rerank
from nvrerank.adapter_fields import RerankFields
from nvrerank.adapters import Candidates, checked_candidates
from nvrerank.fusion import as_data, as_fusion

from .documents import (
    DOCUMENTS_KEYS,
    QUERY_KEYS,
    candidates_of,
    ranked_documents,
    retrieval_scores,
    value_of,
)
from .openinference import under_run


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
        instruction: str | None = None,
    ) -> list[Document]:
        """Reranks documents.

        Args:
            documents: The candidates, in retrieval order; they are not changed.
            query: The question; not blank.
            callbacks: Whom to tell; None: the callbacks of the chain this call is made in.
            instruction: What the model is told of its task; None: as the field says.

        Returns:
            Copies of the documents that stay, best first.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: The query is blank.
            nvrerank.NVRerankError: The scorer failed (unless `on_error="passthrough"`).
        """
        candidates = checked_candidates(documents, Document, "documents")
        run = self._start(CallbackManager, callbacks, query, candidates)
        try:
            with under_run(run, self._reranker_attributes()):
                ranked = rerank(**self._rank_arguments(query, *_of(candidates), instruction))
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
        instruction: str | None = None,
    ) -> list[Document]:
        """As `compress_documents`, without blocking the event loop."""
        candidates = checked_candidates(documents, Document, "documents")
        run = await self._start(AsyncCallbackManager, callbacks, query, candidates)
        try:
            with under_run(run, self._reranker_attributes()):
                ranked = await arerank(**await self._arank_arguments(query, *_of(candidates), instruction))
            result = ranked_documents(candidates, ranked, self.score_mode)
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


def _of(documents: list[Document]) -> tuple[Candidates, Callable[[], list[float | None]]]:
    return candidates_of(documents), partial(retrieval_scores, documents)
