"""The one seam: a scorer gives each passage a raw relevance logit for a query."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from .errors import BadResponseError, NVRerankError, ScoringError
from .rulers import EstimatedRuler, Ruler

Scale = Literal["logit", "probability"]


@dataclass(frozen=True, slots=True)
class Scored:
    """One passage's logit, and what of the passage it comes from.

    Attributes:
        logit: The raw relevance logit; a probability where the scorer's `scale` says so.
        truncated: Whether the passage was longer than the model reads, so that its end was not read;
            None: the scorer can't tell.
        window: Where the passage was scored in parts, the characters of the best of them, as (start, end);
            None: it was scored as a whole.
        query_truncated: Whether the query is known not to have been read to its end.
    """

    logit: float
    truncated: bool | None = None
    window: tuple[int, int] | None = None
    query_truncated: bool = False


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

    @property
    def scale(self) -> Scale:
        """What the scores are: raw "logit"s of any size, or a "probability" in 0..1.

        `rerank(..., score_mode="sigmoid")` leaves a probability as it is. A scorer made of another passes its
        own on. It is read after a call's scores came.
        """
        return "logit"

    @property
    def calibrated(self) -> bool:
        """Whether the sigmoid of a score is of use as a probability; where not, asking for it warns."""
        return True

    @abstractmethod
    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        """Scores passages. May be called from many threads at once.

        Args:
            query: The question; not blank.
            passages: The passages; none blank.

        Returns:
            One finite number a passage, in input order; larger is more relevant. It is a raw logit unless
            `scale` says otherwise; a sigmoid is the caller's choice (`rerank(..., score_mode="sigmoid")`).

        Raises:
            NVRerankError: The scores could not be had; there are no partial results.
        """

    async def ascore(self, query: str, passages: Sequence[str]) -> list[float]:
        """As `score`, without blocking the event loop."""
        return await asyncio.to_thread(self.score, query, passages)

    def score_detailed(self, query: str, passages: Sequence[str]) -> list[Scored]:
        """As `score`, with what each logit comes from; a scorer that knows more than the logit writes it."""
        return [Scored(logit) for logit in self.score(query, passages)]

    async def ascore_detailed(self, query: str, passages: Sequence[str]) -> list[Scored]:
        """As `score_detailed`, without blocking the event loop."""
        return [Scored(logit) for logit in await self.ascore(query, passages)]

    def ruler(self, query: str) -> Ruler:
        """What counts passages in tokens beside this query, for whoever cuts long ones.

        This one estimates, and does not know how many tokens the model reads.
        """
        return EstimatedRuler(query=query)

    def score_many(self, jobs: Iterable[tuple[str, Sequence[str]]]) -> list[list[float]]:
        """Scores several queries, each with passages of its own.

        This one scores them one after another; a scorer that can batch across queries overrides it.

        Args:
            jobs: (query, passages) for each query; a query may have no passages.

        Returns:
            For each job its logits, both in input order.

        Raises:
            NVRerankError: The scores could not be had; there are no partial results.
        """
        return [self.score(query, passages) for query, passages in jobs]


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


@contextmanager
def scoring_errors(source: str) -> Iterator[None]:
    """Within it whatever is raised becomes an `NVRerankError`, unless the call was cancelled.

    A warning that the caller has made an error stays what it is.

    Args:
        source: The scorer's name, for the message.
    """
    try:
        yield
    except (NVRerankError, CancelledError, Warning):
        raise
    except Exception as error:
        raise ScoringError(f"{source} failed while scoring: {type(error).__name__}: {error}") from error


def _as_float(score: object) -> float | None:
    if isinstance(score, bool | str | bytes):
        return None
    try:
        return float(score)  # type: ignore[arg-type]  # numpy and torch scalars convert too
    except (TypeError, ValueError, OverflowError):
        return None
