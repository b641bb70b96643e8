"""Every test that takes `compress` runs twice: through the sync method and through the async one."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.documents import Document

from langchain_nvrerank import NVIDIARerank


@pytest.fixture(params=["sync", "async"])
def compress(request: pytest.FixtureRequest) -> Callable[..., list[Document]]:
    def compressed(reranker: NVIDIARerank, *arguments: Any, **named: Any) -> list[Document]:
        if request.param == "sync":
            return reranker.compress_documents(*arguments, **named)
        return asyncio.run(reranker.acompress_documents(*arguments, **named))

    return compressed


@pytest.fixture(params=["invoke", "ainvoke", "batch", "abatch"])
def call(request: pytest.FixtureRequest) -> Callable[..., Any]:
    def called(runnable: Any, one_input: Any, config: Any = None, **named: Any) -> Any:
        name = request.param
        arguments = ([one_input, one_input], config) if "batch" in name else (one_input, config)
        result = getattr(runnable, name)(*arguments, **named)
        if name.startswith("a"):
            result = asyncio.run(_awaited(result))
        return result[1] if "batch" in name else result

    return called


async def _awaited(awaitable: Any) -> Any:
    return await awaitable
