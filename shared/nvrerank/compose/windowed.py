"""Windowed: a scorer that reads long passages to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from nvrerank.scorer import Scored, Scorer, scoring_errors
from nvrerank.truncation import Notices
from nvrerank.windows import Cutting, Pool, WindowPlan, naming_passages

from .composed import Around


class Windowed(Around):
    """Cuts passages that are too long into overlapping windows, and takes the best one's score.

    Windows end after a sentence where they can, and have room for a quarter of what the model reads unless
    `size` says less: a query that leaves less is cut to its beginning where its tokens are known, with one
    `nvrerank.TruncationWarning`; else the server cuts. All windows of a call go to the inner scorer at once,
    each distinct one once; a passage that fits is scored whole, as the inner scorer alone would. What fits is
    counted by the inner scorer's `token_counter`: a `LocalScorer` counts its own tokens, a `HostedScorer`
    those of its model's tokenizer if that is in Hugging Face's cache on this machine; else they are estimated
    (see `nvrerank.token_counter.EstimatedTokenCounter`).

    `score_detailed`, and `rerank` by it, tell which window was best: `passage[start:end]` is the text that
    was scored.

    Args:
        scorer: What scores the windows.
        size: Most tokens of a window, query and prompt not counted; None: what the model reads beside them.
            A scorer that does not know how much that is needs it.
        overlap: Least tokens that neighbouring windows share, at most a quarter of one; None: 64, or that
            quarter.
        pool: What the passage's score is: "max" of its windows, their "mean", or the "first" window's alone,
            which leaves the rest unread.

    Attributes:
        scorer: The inner scorer.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range or unknown.
    """

    def __init__(
        self, scorer: Scorer, *, size: int | None = None, overlap: int | None = None, pool: Pool = "max"
    ) -> None:
        super().__init__(scorer)
        self._cutting = Cutting(size, overlap, pool)
        self._notices = Notices()

    @property
    def identity(self) -> Mapping[str, object] | None:
        """The inner scorer's, and how passages are cut; None: that scorer has none."""
        within, cutting = self.scorer.identity, self._cutting
        cut = {"size": cutting.size, "overlap": cutting.overlap, "pool": cutting.pool}
        return within and {"windows of": within, **cut}

    def _score(self, query: str, passages: Sequence[str]) -> list[Scored]:
        plan = self._plan(query, passages)
        with plan.naming_passages():
            return self._pooled(plan, self.scorer.score_clean(plan.query or query, plan.texts))

    async def _ascore(self, query: str, passages: Sequence[str]) -> list[Scored]:
        plan = await asyncio.to_thread(scoring_errors(self)(self._plan), query, passages)
        with plan.naming_passages():
            return self._pooled(plan, await self.scorer.ascore_clean(plan.query or query, plan.texts))

    def _score_many(self, calls: Sequence[tuple[str, Sequence[str]]]) -> list[list[Scored]]:
        """All windows at once; with several queries an error doesn't say whose window it is about."""
        plans = [self._plan(query, texts) for query, texts in calls]
        with naming_passages(plans):
            answers = self.scorer.score_many_clean(
                [(plan.query or query, plan.texts) for (query, _), plan in zip(calls, plans, strict=True)]
            )
        return [self._pooled(plan, answer) for plan, answer in zip(plans, answers, strict=True)]

    def __repr__(self) -> str:
        cutting = self._cutting
        said = f"size={cutting.size}, overlap={cutting.overlap}, pool={cutting.pool!r}"
        return f"{type(self).__name__}({self.scorer!r}, {said})"

    def _plan(self, query: str, texts: Sequence[str]) -> WindowPlan:
        return self._cutting.plan(self.scorer.token_counter(query), texts)

    def _pooled(self, plan: WindowPlan, scored: Sequence[Scored]) -> list[Scored]:
        if plan.query is not None:
            self._notices.query()
        return plan.pooled(scored)
