"""A reranker as a step of a chain or a node of a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig, RunnableLambda

from .documents import DOCUMENTS_KEYS, QUERY_KEYS, fields_of, key_of, last_question

if TYPE_CHECKING:
    from .compressor import NVIDIARerank


class Asked(NamedTuple):
    """What a step is asked to rerank, and the key that the documents came by."""

    documents: Iterable[Document]
    query: str
    key: str = ""


def where(query_key: str | None, documents_key: str | None) -> Callable[[Any], Asked]:
    """What finds query and documents in a step's input.

    Args:
        query_key: Where the query is, or messages; None: the first there is of the usual keys.
        documents_key: Likewise where the documents are.
    """
    query_keys = QUERY_KEYS if query_key is None else (query_key,)
    documents_keys = DOCUMENTS_KEYS if documents_key is None else (documents_key,)

    def asked(inputs: Any) -> Asked:
        known = fields_of(inputs)
        key, query = key_of(known, documents_keys), known[key_of(known, query_keys)]
        return Asked(known[key], last_question(query) if isinstance(query, list | tuple) else query, key)

    return asked


def step(
    reranker: NVIDIARerank, read: Callable[[Any], Asked], write: Callable[[Asked, list[Document]], Any]
) -> RunnableLambda[Any, Any]:
    """A runnable that reranks.

    Args:
        reranker: What does it.
        read: What it is asked, from the input.
        write: What comes out, from what was asked and the reranked documents.
    """

    def rerank_documents(inputs: Any, config: RunnableConfig) -> Any:
        asked = read(inputs)
        found = reranker.compress_documents(
            asked.documents, asked.query, config.get("callbacks"), **of_call(config)
        )
        return write(asked, found)

    async def arerank_documents(inputs: Any, config: RunnableConfig) -> Any:
        asked = read(inputs)
        found = await reranker.acompress_documents(
            asked.documents, asked.query, config.get("callbacks"), **of_call(config)
        )
        return write(asked, found)

    return RunnableLambda(rerank_documents, arerank_documents, name="rerank_documents")


def of_call(config: RunnableConfig | None) -> dict[str, Any]:
    """What a call's config says in `configurable` of how to rerank: its `top_n`, its `instruction`."""
    known = (config or {}).get("configurable", {})
    return {name: known[name] for name in ("top_n", "instruction") if name in known}
