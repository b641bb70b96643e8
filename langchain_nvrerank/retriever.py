"""A retriever and a reranker as one retriever."""

from __future__ import annotations

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever, RetrieverLike
from pydantic import ConfigDict


class RerankRetriever(BaseRetriever):
    """Retrieves, then reranks; a runnable from a query to documents.

    Let the base retriever find many (`search_kwargs={"k": 40}`); the reranker's `top_n` says how many
    of them stay.

    Attributes:
        base_retriever: Finds the candidates: any runnable from a query to documents.
        reranker: Orders them: `NVIDIARerank(...)`, or another document compressor.
    """

    model_config = ConfigDict(extra="forbid")

    base_retriever: RetrieverLike
    reranker: BaseDocumentCompressor

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        found = self.base_retriever.invoke(query, {"callbacks": run_manager.get_child()})
        return list(self.reranker.compress_documents(found, query, run_manager.get_child()))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        found = await self.base_retriever.ainvoke(query, {"callbacks": run_manager.get_child()})
        return list(await self.reranker.acompress_documents(found, query, run_manager.get_child()))
