"""Every test that takes `postprocess` runs twice: through the sync method and through the async one."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.schema import NodeWithScore

from llamaindex_nvrerank import NVIDIARerank


@pytest.fixture(params=["sync", "async"])
def postprocess(request: pytest.FixtureRequest) -> Callable[..., list[NodeWithScore]]:
    def postprocessed(reranker: NVIDIARerank, *arguments: Any, **named: Any) -> list[NodeWithScore]:
        if request.param == "sync":
            return reranker.postprocess_nodes(*arguments, **named)
        return asyncio.run(reranker.apostprocess_nodes(*arguments, **named))

    return postprocessed
