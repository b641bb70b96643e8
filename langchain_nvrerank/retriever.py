"""A retriever and a reranker as one retriever."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever, RetrieverLike
from langchain_core.runnables import RunnableConfig, ensure_config, patch_config
from langchain_core.runnables.utils import ConfigurableFieldSpec
from pydantic import AliasChoices, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from .runnables import of_call


class RerankRetriever(BaseRetriever):
    """Retrieves, then reranks; a runnable from a query to documents.

    Let the base retriever find many (`search_kwargs={"k": 40}`); the reranker's `top_n` says how many
    of them stay, and `config={"configurable": {"top_n": 3}}` says it for one call. Arguments of a call go to
    the base retriever: `retriever.invoke(query, filter=...)`; so does the caller's config with its
    `configurable`, tags and metadata.

    Attributes:
        base_retriever: Finds the candidates: any runnable from a query to documents.
        reranker: Orders them: `NVIDIARerank(...)`, or another document compressor. The constructor
            also takes it as `base_compressor`, as `ContextualCompressionRetriever` does.
    """

    model_config = ConfigDict(extra="forbid")

    base_retriever: SkipJsonSchema[RetrieverLike]
    reranker: BaseDocumentCompressor = Field(validation_alias=AliasChoices("reranker", "base_compressor"))

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """What the base retriever takes in a config's `configurable`."""
        return self.base_retriever.config_specs

    def invoke(
        self,
        input: str,  # noqa: A002 (LangChain's name)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Retrieves and reranks.

        Args:
            input: The query.
            config: Of this call; the base retriever sees it too.
            **kwargs: For the base retriever.
        """
        return super().invoke(input, config, _config=ensure_config(config), **kwargs)

    async def ainvoke(
        self,
        input: str,  # noqa: A002 (LangChain's name)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """As `invoke`, without blocking the event loop."""
        return await super().ainvoke(input, config, _config=ensure_config(config), **kwargs)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        _config: RunnableConfig | None = None,  # of the call, which the base class keeps to itself
        **kwargs: Any,
    ) -> list[Document]:
        config = patch_config(_config, callbacks=run_manager.get_child())
        found = self.base_retriever.invoke(query, config, **kwargs)
        return list(
            self.reranker.compress_documents(found, query, run_manager.get_child(), **of_call(_config))
        )

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        _config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        config = patch_config(_config, callbacks=run_manager.get_child())
        found = await self.base_retriever.ainvoke(query, config, **kwargs)
        return list(
            await self.reranker.acompress_documents(found, query, run_manager.get_child(), **of_call(_config))
        )
