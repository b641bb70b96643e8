"""infinity_emb: its engine in this process, torch, asked as its server asks it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from infinity_emb import AsyncEmbeddingEngine, EngineArgs

from bench.local.engines.base import BatchSettings, Engine, Setup
from bench.local.workloads import QueryGroup


class Infinity(Engine):
    """One event loop for its life; another batch size is another engine, started before the clock."""

    packages = ("infinity_emb", "sentence-transformers", "transformers", "torch", "optimum")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._loop = asyncio.new_event_loop()
        self._start(32)

    def configure(self, settings: BatchSettings) -> None:
        if settings["batch_size"] != self.settings["batch_size"]:
            self._loop.run_until_complete(self._engine.astop())
            self._start(settings["batch_size"])

    def _start(self, size: int) -> None:
        arguments = EngineArgs(
            model_name_or_path=self.setup.folder,
            engine="torch",
            device="cpu",
            batch_size=size,
            model_warmup=False,
            **self.setup.options,
        )
        self._engine = AsyncEmbeddingEngine.from_args(arguments)
        self._loop.run_until_complete(self._engine.astart())
        self.settings = {"batch_size": size}

    def score(self, groups: Sequence[QueryGroup]) -> list[list[float]]:
        return self._loop.run_until_complete(self._all(groups))

    async def _all(self, groups: Sequence[QueryGroup]) -> list[list[float]]:
        return await asyncio.gather(*(self._one(query, texts) for query, texts in groups))

    async def _one(self, query: str, texts: list[str]) -> list[float]:
        found, _tokens = await self._engine.rerank(query=query, docs=texts, raw_scores=True)
        by_place = {one.index: float(one.relevance_score) for one in found}
        return [by_place[place] for place in range(len(texts))]
