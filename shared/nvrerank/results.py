"""What `rerank` returns: passages in their new order, and what was ranked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, SupportsIndex, overload

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class Ranked:
    """One passage's place in the order.

    Attributes:
        index: The passage's index in the input.
        score: Its relevance, a logit or a probability by `score_mode`; None for a blank passage and
            for every passage after a passthrough.
        truncated: Whether its end was not read because the pair was too long; None: not known.
        window: Where the passage was scored in parts, the characters of the best of them, as (start, end),
            of the passage as `Ranking.passages` has it; None: it was scored as a whole.
        fused: What it was ordered by where `fuse` was asked for; None: by its score.
        source: The name of the scorer that gave the score, where several could have; None: there is one.
        cut: Whether a `Cascade` cut it: its score is a place below those that the strong scorer gave, not one
            of that scorer's.
        text: The passage, as `Ranking.passages` has it; neither compared nor in the repr.
    """

    index: int
    score: float | None
    truncated: bool | None = None
    window: tuple[int, int] | None = None
    fused: float | None = None
    source: str | None = None
    cut: bool = False
    text: str = field(default="", compare=False, repr=False)


class Ranking(list[Ranked]):
    """What `rerank` returns: a list of `Ranked`, best first, that knows what was ranked.

    A slice of it is a `Ranking` too; `print` shows a table.

    Attributes:
        query: The query, as it was scored.
        passages: All passages, in input order, also those that were dropped.
        retrieval_scores: What retrieval scored them, in input order; None: not known.
        query_truncated: Whether the query is known not to have been read to its end.
        answered_by: The name of the scorer that scored; None: none was asked, or it failed.
    """

    def __init__(
        self,
        ranked: Iterable[Ranked],
        query: str,
        passages: Sequence[str],
        retrieval_scores: Sequence[float | None] | None = None,
        *,
        query_truncated: bool = False,
        answered_by: str | None = None,
    ) -> None:
        super().__init__(ranked)
        self.query = query
        self.passages = passages
        self.retrieval_scores = retrieval_scores
        self.query_truncated = query_truncated
        self.answered_by = answered_by

    @property
    def truncated(self) -> int:
        """How many of the passages in this ranking are known to have been cut."""
        return sum(one.truncated is True for one in self)

    def to_pandas(self) -> DataFrame:
        """This ranking as a data frame, a row a passage; `nvrerank.show.to_pandas` names the columns.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from .show import to_pandas  # upwards: the room is opened only for whoever wants to see

        return to_pandas(self)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Ranked: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Ranked | Self:
        found = super().__getitem__(index)
        if isinstance(found, Ranked):
            return found
        part = type(self)(found, self.query, self.passages)
        part.__dict__.update(self.__dict__)
        return part

    def __str__(self) -> str:
        from .show import text_table

        return text_table(self)

    def _repr_html_(self) -> str:
        from .show import table

        return table(self)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (list(self), self.query, self.passages), self.__dict__
