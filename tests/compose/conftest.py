"""Both ways to ask a scorer."""

from __future__ import annotations

import asyncio

import pytest

from nvrerank import arerank, rerank


@pytest.fixture(params=["sync", "async"])
def ranked(request):
    """`rerank`, then `arerank`."""
    if request.param == "sync":
        return rerank
    return lambda *call, **options: asyncio.run(arerank(*call, **options))


@pytest.fixture(params=["sync", "async"])
def detailed(request):
    """`score_detailed`, then `ascore_detailed`."""
    if request.param == "sync":
        return lambda scorer, *call: scorer.score_detailed(*call)
    return lambda scorer, *call: asyncio.run(scorer.ascore_detailed(*call))
