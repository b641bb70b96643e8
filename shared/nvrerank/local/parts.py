"""What one call asks of the model: a part for each query, all parts in the same batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import accumulate

from nvrerank.errors import RequestRejectedError
from nvrerank.scorer import Scored, naming_job
from nvrerank.truncation import Notices
from nvrerank.windows import WindowPlan

from .prompt import TokenPair


@dataclass(frozen=True, slots=True)
class Part:
    """One query's pairs.

    Attributes:
        pairs: What is scored.
        windows: Whose windows they are; None: each pair is a passage.
        query_cut: Whether they hold the query's beginning alone.
    """

    pairs: list[TokenPair]
    windows: WindowPlan | None
    query_cut: bool

    def naming_passages(self) -> AbstractContextManager[None]:
        """Within it an error about one of `pairs` becomes one about its passage."""
        return nullcontext() if self.windows is None else self.windows.naming_passages()

    def scored(self, logits: Sequence[float], limit: int) -> list[Scored]:
        """The passages' scores from the pairs'."""
        scored = [
            Scored(one, pair.whole > limit, query_truncated=self.query_cut)
            for one, pair in zip(logits, self.pairs, strict=True)
        ]
        return scored if self.windows is None else self.windows.pooled(scored)


class Parts:
    """The parts of a call, and where each lies among all its pairs.

    Attributes:
        pairs: All of them, one part after another.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._starts = [0, *accumulate(len(part.pairs) for part in parts)]
        self.pairs = [pair for part in parts for pair in part.pairs]

    def scored(self, logits: Sequence[float], limit: int) -> list[list[Scored]]:
        """Each part's passages with their scores.

        Args:
            logits: One for each of `pairs`.
            limit: Tokens that the model reads of a pair.
        """
        return [
            part.scored(logits[start : start + len(part.pairs)], limit)
            for part, start in zip(self._parts, self._starts, strict=False)
        ]

    def tell(self, notices: Notices, limit: int) -> None:
        """Warns of what the model does not read, which takes `limit` tokens of a pair."""
        notices.passages(
            [pair.whole - limit for pair in self.pairs if pair.whole > limit], len(self.pairs), limit
        )
        if any(part.query_cut for part in self._parts):
            notices.query()

    @contextmanager
    def naming_passages(self) -> Iterator[None]:
        """Within it an error about one of `pairs` becomes one about a passage of its part."""
        try:
            yield
        except RequestRejectedError as error:
            if error.index is None:
                raise
            part = next(n for n, end in enumerate(self._starts[1:]) if error.index < end)
            error.index -= self._starts[part]
            with naming_job(part, len(self._parts)), self._parts[part].naming_passages():
                raise
