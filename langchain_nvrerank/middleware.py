"""Reranking in LangChain's `create_agent`: of the documents that tools find, and of the tools themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.agents.middleware.types import ToolCallRequest
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.prompts import BasePromptTemplate, PromptTemplate, format_document
from langgraph.types import Command

from nvrerank._checks import checked_integer

from .compressor import NVIDIARerank
from .documents import PLACE_KEY, QUERY_KEYS, SCORE_KEY, last_question, numbered
from .runnables import of_call

_PAGE_CONTENT = PromptTemplate.from_template("{page_content}")

Answer = ToolMessage | Command[Any]


class RerankMiddleware(AgentMiddleware):
    """Reranks the documents that an agent's tools return, before its model reads them.

    `create_agent(model, tools, middleware=[RerankMiddleware(reranker)])`. It is for tools that give their
    documents as the artifact, as `create_retriever_tool(..., response_format="content_and_artifact")` does:
    the artifact becomes the reranked documents, and the message's content what they say. Every other answer
    passes through as it is. `config={"configurable": {"top_n": 3}}` is for one call of the agent.

    Attributes:
        reranker: Orders the documents; its `top_n` and `threshold` say how many the model reads.
        tool_names: The tools that it is for; None: all.
        query_key: The tool's argument that holds the query; None: the first there is of "query", "question",
            "input". If it has none, the last message of a person is the query.
        document_prompt: What the model reads of a document; None: what the tool itself had written of it,
            or else its text.
        document_separator: What stands between two documents.
    """

    def __init__(
        self,
        reranker: NVIDIARerank,
        *,
        tool_names: Collection[str] | None = None,
        query_key: str | None = None,
        document_prompt: BasePromptTemplate[str] | None = None,
        document_separator: str = "\n\n",
    ) -> None:
        self.reranker = reranker
        self.tool_names = tool_names
        self.query_key = query_key
        self.document_prompt = document_prompt
        self.document_separator = document_separator

    def select_tools(self, k: int, *, always_include: Collection[str] = ()) -> AgentMiddleware:
        """A middleware that shows the model, each turn, only the tools that fit what a person said last.

        It does what LangChain's `LLMToolSelectorMiddleware` asks a language model for: this reranker scores
        each tool's name and description. The tools keep their order; a provider's own tools always stay, and
        all do where nothing can be scored: there is no message of a person, or the reranker fails with
        `on_error="passthrough"`. The reranker's threshold and fusion are for documents and don't count.

        Args:
            k: At most so many tools.
            always_include: Names of tools that stay beside them.

        Raises:
            TypeError, ValueError: k is no integer of 1 or more.
        """
        return RerankToolSelector(self.reranker, k, always_include)

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Answer]
    ) -> Answer:
        """Runs the tool, and reranks what it found."""
        answer = handler(request)
        if isinstance(answer, ToolMessage) and (asked := self._asked(request, answer.artifact)):
            return self._told(answer, self.reranker.compress_documents(**asked))
        return answer

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Answer]]
    ) -> Answer:
        """As `wrap_tool_call`, without blocking the event loop."""
        answer = await handler(request)
        if isinstance(answer, ToolMessage) and (asked := self._asked(request, answer.artifact)):
            return self._told(answer, await self.reranker.acompress_documents(**asked))
        return answer

    def _asked(self, request: ToolCallRequest, found: object) -> dict[str, Any]:
        """What the reranker is asked, with copies of the documents; nothing if there is nothing to rerank."""
        call = request.tool_call
        if self.tool_names is not None and call["name"] not in self.tool_names:
            return {}
        if not isinstance(found, list) or not found or not all(isinstance(one, Document) for one in found):
            return {}
        keys = QUERY_KEYS if self.query_key is None else (self.query_key,)
        queries = (value for key in keys if isinstance(value := call["args"].get(key), str) and value.strip())
        state = request.state
        messages = state.get("messages") if isinstance(state, dict) else getattr(state, "messages", state)
        query = next(queries, None) or last_question(messages or ())
        return {"documents": numbered(found), "query": query, **of_call(request.runtime.config)}

    def _told(self, answer: ToolMessage, ranked: Sequence[Document]) -> ToolMessage:
        """The answer, with these documents in place of its own."""
        between, prompt = self.document_separator, self.document_prompt
        pieces = None if prompt else pieces_of(answer.content, answer.artifact, between)
        written = [
            format_document(one, prompt or _PAGE_CONTENT)
            if pieces is None
            else pieces[one.metadata[PLACE_KEY]]
            for one in ranked
        ]
        for one in ranked:
            del one.metadata[PLACE_KEY]
        return answer.model_copy(update={"content": between.join(written), "artifact": list(ranked)})


class RerankToolSelector(AgentMiddleware):
    """What `RerankMiddleware.select_tools` returns."""

    def __init__(self, reranker: NVIDIARerank, k: int, always_include: Collection[str]) -> None:
        top_n = checked_integer("k", k, least=1)
        self.reranker = reranker.model_copy(update={"top_n": top_n, "threshold": None, "fuse": None})
        self.always_include = frozenset(always_include)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Asks the model with the tools that were chosen."""
        choices, query = self._choices(request), last_question(request.messages)
        if choices and query.strip():
            request = self._narrowed(request, choices, self.reranker.compress_documents(choices, query))
        return handler(request)

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`, without blocking the event loop."""
        choices, query = self._choices(request), last_question(request.messages)
        if choices and query.strip():
            request = self._narrowed(
                request, choices, await self.reranker.acompress_documents(choices, query)
            )
        return await handler(request)

    def _choices(self, request: ModelRequest[Any]) -> list[Document]:
        """A document for each tool that is to be scored; none if all of them may stay."""
        if not request.tools:
            return []
        named = {tool.name for tool in request.tools if not isinstance(tool, dict)}
        if missing := sorted(self.always_include - named):
            raise ValueError(f"always_include names {missing}, and the agent's tools are {sorted(named)}")
        choices = [
            Document(f"{tool.name}: {tool.description}", metadata={PLACE_KEY: place})
            for place, tool in enumerate(request.tools)
            if not isinstance(tool, dict) and tool.name not in self.always_include
        ]
        return choices if len(choices) > (self.reranker.top_n or 0) else []

    def _narrowed(
        self, request: ModelRequest[Any], choices: Sequence[Document], chosen: Sequence[Document]
    ) -> ModelRequest[Any]:
        """The request without the tools that were not chosen; as it is if nothing was scored."""
        if all(one.metadata[SCORE_KEY] is None for one in chosen):
            return request
        left_out = {one.metadata[PLACE_KEY] for one in choices} - {one.metadata[PLACE_KEY] for one in chosen}
        tools = [tool for place, tool in enumerate(request.tools) if place not in left_out]
        return request.override(tools=tools)


def pieces_of(content: object, documents: Sequence[Document], separator: str) -> list[str] | None:
    """What a tool wrote of each document, in order; None: it can't be told which piece is whose.

    The separator has to stand exactly once between the texts of two documents, so that whatever the tool put
    around each, such as its source, stays with it.
    """
    if not isinstance(content, str) or not separator:
        return None
    pieces, start, end = [], 0, 0
    for place, document in enumerate(documents):
        found = content.find(document.page_content, end)
        if found < 0:
            return None
        if place:
            before, *after = content[end:found].split(separator)
            if len(after) != 1:
                return None
            pieces.append(content[start:end] + before)
            start = found - len(after[0])
        end = found + len(document.page_content)
    return [*pieces, content[start:]]
