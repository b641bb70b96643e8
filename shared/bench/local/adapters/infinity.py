"""infinity_emb: its engine in this process, torch, asked as its server asks it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from infinity_emb import AsyncEmbeddingEngine, EngineArgs

from bench.local.adapters.base import Adapter, Job, Settings, Setup


class Infinity(Adapter):
    """One event loop for its life; another batch size is another engine, started before the clock."""

    packages = ("infinity_emb", "sentence-transformers", "transformers", "torch", "optimum")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._loop = asyncio.new_event_loop()
        self._size = 0
        self._engine: Any = None
        self.configure({})

    def configure(self, settings: Settings) -> None:
        """As promised by `Adapter`."""
        size = settings.get("batch_size", 32)
        if size == self._size:
            return
        if self._engine is not None:
            self._wait(self._engine.astop())
        self._engine = AsyncEmbeddingEngine.from_args(
            EngineArgs(
                model_name_or_path=self.setup.folder,
                engine="torch",
                device="cpu",
                batch_size=size,
                model_warmup=False,
                **self.setup.options,
            )
        )
        self._wait(self._engine.astart())
        self._size = size

    def score(self, jobs: Sequence[Job]) -> list[list[float]]:
        """As promised by `Adapter`."""
        return self._wait(self._all(jobs))  # type: ignore[no-any-return]

    async def _all(self, jobs: Sequence[Job]) -> list[list[float]]:
        return list(await asyncio.gather(*(self._one(query, texts) for query, texts in jobs)))

    async def _one(self, query: str, texts: list[str]) -> list[float]:
        found, _tokens = await self._engine.rerank(query=query, docs=texts, raw_scores=True)
        scores = [0.0] * len(texts)
        for one in found:
            scores[one.index] = float(one.relevance_score)
        return scores

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)


make = Infinity
