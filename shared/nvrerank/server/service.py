"""One app's scorer with its queue and its figures, and whether requests are still taken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

from nvrerank import models
from nvrerank.errors import NVRerankError
from nvrerank.ranking import arerank
from nvrerank.results import Ranking
from nvrerank.scorer import Scorer, scores_together

from .call_queue import CallQueue
from .monitoring import Metrics
from .packing import PackedScorer
from .problems import Refusal, failed, too_long, wrong_model
from .schemas import Question
from .settings import ServerSettings

CALLER_LEFT = 499  # nginx's; nobody receives it
_BODIES = 8  # of the largest size that are held at once


class Service:
    """What all routes share.

    Args:
        scorer: What computes.
        settings: How the server behaves.

    Attributes:
        scorer: The scorer, with what waits for it.
        names: What requests may call the model.
        requests: How many are under way.
        leaving: Whether the server is about to stop, so that it is no longer ready.
        draining: Whether it takes nothing new any more.
    """

    def __init__(self, scorer: Scorer, settings: ServerSettings) -> None:
        self.settings, self.metrics = settings, Metrics()
        wait, most = settings.max_wait_ms / 1000, settings.max_queued_passages
        tokens = (
            settings.batch_tokens if scores_together(scorer) else 0
        )  # else each request by itself, at once
        self._queue = CallQueue(tokens, wait, most, settings.max_queue_seconds, self.metrics)
        self.scorer = PackedScorer(scorer, self._queue, self.metrics, settings.threads)
        self.metrics.watch_queue(lambda: len(self._queue), lambda: self._queue.passages)
        self.names = tuple(settings.model_names) or (_public_name(scorer.name),)
        self.requests = self._held_bytes = 0
        self._under_way: set[asyncio.Future[Ranking]] = set()
        self.leaving = self.draining = False

    @property
    def ready(self) -> bool:
        """Whether requests are answered: the model is loaded and the server is not about to stop."""
        return self.scorer.ready and not (self.leaving or self.draining)

    def check_open(self) -> None:
        """Refuses a request before it is read, where it would be refused in any case.

        Raises:
            Refusal: The queue is full, too much is being read, or the server is about to stop.
        """
        if self.draining:
            raise _stopping()
        if self._queue.full or self._held_bytes > _BODIES * self.settings.max_body_bytes:
            raise _busy("busy", "too much is waiting: try again later", self._queue.retry_after())

    def hold(self, size: int) -> None:
        """Counts bytes of bodies in memory, less than 0 when they are let go."""
        self._held_bytes += size

    async def rank(self, question: Question, left: Callable[[], Awaitable[object]]) -> Ranking:
        """Scores and orders, unless the caller leaves first.

        Args:
            question: What is asked.
            left: Comes back when the caller has left.

        Raises:
            Refusal: There are no scores.
        """
        self._check_model(question.model)
        scoring = asyncio.ensure_future(
            arerank(
                self.scorer,
                question.query,
                question.passages,
                top_n=question.top_n,
                score_mode=question.score_mode,
                instruction=question.instruction,
            )
        )
        leaving = asyncio.ensure_future(left())
        self._under_way.add(scoring)
        try:
            await asyncio.wait({scoring, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not scoring.done():
                raise Refusal(CALLER_LEFT, "left", "the caller left")
            if scoring.cancelled():
                raise _stopping()
            ranking = scoring.result()
        except NVRerankError as error:
            raise failed(error, question) from error
        finally:
            self._under_way.discard(scoring)
            scoring.cancel()
            leaving.cancel()
            await asyncio.gather(scoring, leaving, return_exceptions=True)
        if refusal := too_long(question, ranking, query=ranking.query_truncated):
            raise refusal
        return ranking

    def give_up(self) -> None:
        """Refuses what is not answered yet, and what comes."""
        self.draining = True
        self.scorer.close()
        for scoring in self._under_way:
            scoring.cancel()

    def _check_model(self, name: str | None) -> None:
        if name is None or name in self.names:
            return
        known = models.find(name)
        if known is None or all(models.find(served) is not known for served in self.names):
            raise wrong_model()


def _stopping() -> Refusal:
    return _busy("stopping", "the server is stopping: try another", 1)


def _busy(reason: str, words: str, seconds: float) -> Refusal:
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, reason, words, retry_after=seconds)


def _public_name(name: str) -> str:
    """A folder's last part: where it lies on this machine is nobody's business."""
    return Path(name).name if Path(name).is_dir() else name
