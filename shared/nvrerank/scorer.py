"""The one seam: a scorer gives each passage a raw relevance logit for a query."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from .errors import BadResponseError


class Scorer(ABC):
    """Anything that scores passages for a query.

    A new scorer writes `score`; `ascore` then runs it in a thread. One that waits for I/O, or that
    can stop half way when it is cancelled, writes `ascore` as well.

    `rerank` is the usual caller: it cleans the texts, leaves out blank ones and sends each distinct
    passage once.
    """

    @property
    def name(self) -> str:
        """What traces and events call this scorer: its model's name where it has one."""
        return type(self).__name__

    @abstractmethod
    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        """Scores passages. May be called from many threads at once.

        Args:
            query: The question; not blank.
            passages: The passages; none blank.

        Returns:
            One finite raw logit a passage, in input order; larger is more relevant. A sigmoid is
            the caller's choice (`rerank(..., score_mode="sigmoid")`).

        Raises:
            NVRerankError: The scores could not be had; there are no partial results.
        """

    async def ascore(self, query: str, passages: Sequence[str]) -> list[float]:
        """As `score`, without blocking the event loop."""
        return await asyncio.to_thread(self.score, query, passages)


def checked_scores(scores: Sequence[float], count: int, *, source: str) -> list[float]:
    """What a scorer returned, as exactly `count` finite floats.

    Args:
        scores: Anything that holds numbers: a list, an array of one dimension.
        count: How many passages were scored.
        source: The scorer's name, for the message.

    Raises:
        BadResponseError: The count differs, or a score is not a finite number.
    """
    if len(scores) != count:
        raise BadResponseError(f"{source} returned {len(scores)} scores for {count} passages: report it")
    numbers = []
    for index, score in enumerate(scores):
        number = _as_float(score)
        if number is None or not math.isfinite(number):
            raise BadResponseError(
                f"{source} returned {score!r:.50} for passage {index}, not a finite number: report it"
            )
        numbers.append(number)
    return numbers


def _as_float(score: object) -> float | None:
    if isinstance(score, bool | str | bytes):
        return None
    try:
        return float(score)  # type: ignore[arg-type]  # numpy and torch scalars convert too
    except (TypeError, ValueError, OverflowError):
        return None
