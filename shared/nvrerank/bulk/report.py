"""What a bulk run returns."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row without a score, or with a passage that has none.

    Attributes:
        row: Its place in the input, from 0.
        id: Its id, where a column of ids was named.
        error: Why.
    """

    row: int
    id: object
    error: str


@dataclass(frozen=True, slots=True)
class BulkReport:
    """What a run did.

    Attributes:
        output: Where the rows are: a file, or a folder of files.
        rows: Rows of the output.
        pairs: Pairs of query and passage in it.
        errors: Pairs without a score.
        resumed: Pairs that an earlier run had done.
        seconds: This run's time.
        requests: Requests that a server answered in this run; 0 for a model on this machine.
        tokens: Tokens read in this run, as far as the scorer counts them.
        failures: The first rows of this run that lack a score.
    """

    output: Path
    rows: int
    pairs: int
    errors: int
    resumed: int
    seconds: float
    requests: int = 0
    tokens: int = 0
    failures: tuple[FailedRow, ...] = ()

    @property
    def pairs_per_second(self) -> float:
        """Of this run; 0 where it had nothing to do."""
        done = self.pairs - self.resumed
        return done / self.seconds if done and self.seconds else 0.0

    def to_text(self) -> str:
        """In one line."""
        parts = [f"{self.pairs:,} pairs in {self.rows:,} rows", f"{self.errors:,} without a score"]
        if self.resumed:
            parts.append(f"{self.resumed:,} done before")
        parts.append(f"{self.seconds:,.1f} s, {self.pairs_per_second:,.1f} pairs/s")
        parts += [
            f"{count:,} {name}"
            for name, count in (("requests", self.requests), ("tokens", self.tokens))
            if count
        ]
        return f"{self.output}: {'; '.join(parts)}"

    def to_json(self) -> str:
        """All of it."""
        told = asdict(self) | {"output": str(self.output), "pairs_per_second": self.pairs_per_second}
        return json.dumps(told, indent=1, default=str)
