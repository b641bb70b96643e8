"""What a run is: which rows make a shard, and by what it is known again. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

PAIRS_IN_A_SHARD = 16_384

Layout = Sequence[Sequence[tuple[int, int]]]
"""For each file the places from which it can be read, each with the rows that follow up to the next."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows that are written together.

    Attributes:
        number: Its place among all, from 0.
        file: The place of its file.
        at: Where in the file reading begins: a row group, a byte.
        skip: Rows from there that belong to shards before it.
        rows: How many it has; all are of one file.
        row: Its first, counted over all files.
    """

    number: int
    file: int
    at: int
    skip: int
    rows: int
    row: int


def shards_of(layout: Layout, size: int) -> list[Shard]:
    """Cuts each file into shards of `size` rows, its last with what is left; at least one in all."""
    shards: list[Shard] = []
    row = 0
    for file, places in enumerate(layout):
        for at, skip, rows in _cuts(places, size):
            shards.append(Shard(len(shards), file, at, skip, rows, row))
            row += rows
    return shards or [Shard(0, 0, 0, 0, 0, 0)]


def _cuts(places: Sequence[tuple[int, int]], size: int) -> Iterator[tuple[int, int, int]]:
    total, first, place, before = sum(rows for _, rows in places), 0, 0, 0
    while first < total:
        while first >= before + places[place][1]:  # `before`: rows before this place
            before += places[place][1]
            place += 1
        yield places[place][0], first - before, min(size, total - first)
        first += size


def rows_in_a_shard(pairs_in_a_row: float) -> int:
    """How many rows make a shard, where nobody says."""
    return max(1, int(PAIRS_IN_A_SHARD / max(1.0, pairs_in_a_row)))


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> str:
    """What makes a run another one, in words; empty: nothing does."""
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return ", ".join(_WORDS.get(name, name) for name in changed)


_WORDS = {"input": "the input", "scorer": "the scorer", "columns": "the columns", "shard_rows": "shard_rows"}
