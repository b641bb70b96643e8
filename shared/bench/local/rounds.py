"""Rounds: each configuration scores the same texts once in every one, in an order that turns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from bench.local.engines.base import BatchSettings

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Configuration:
    """A row of the table: a peer on one of its workers, with settings."""

    label: str
    peer: str
    worker: str
    settings: BatchSettings = field(default_factory=dict)  # told before each measurement
    precision: str = "float32"  # one of `peers.PRECISIONS`
    kind: str = "default"  # "ours", "default" or "best"


@dataclass(frozen=True)
class Measurement:
    """A configuration in one round."""

    seconds: float  # wall time of its scoring, by its own clock
    cpu: float  # CPU seconds of its process meanwhile
    load: dict[str, float | bool]  # cores used by whom; see `machine.Load`
    gemm: list[float]  # GFLOP/s of a bare matrix product in this round, in each of `peers.PRECISIONS`
    scores: list[list[float]]  # logits of each query's passages


def rotated(rows: Sequence[T], number: int) -> list[T]:
    """The order of a round: turned by one each time, and every second time backwards.

    So nobody always follows the same neighbour, whose heat or cache it would inherit.
    """
    start = number % len(rows)
    turned = [*rows[start:], *rows[:start]]
    return turned[::-1] if number % 2 else turned


def run_rounds(
    configurations: Sequence[Configuration],
    rounds: int,
    measure: Callable[[Configuration, list[float]], Measurement],
    gemm: Callable[[], list[float]],
) -> tuple[dict[str, list[Measurement]], dict[str, str]]:
    """Runs one round to warm up and then so many that count.

    Args:
        configurations: The table's rows.
        rounds: How many count.
        measure: Measures a configuration, given the rates of a bare matrix product in this round.
        gemm: These rates now, GFLOP/s.

    Returns:
        Measurements by label, and by label why a configuration failed; it then takes no further part.
    """
    measured: dict[str, list[Measurement]] = {one.label: [] for one in configurations}
    failed: dict[str, str] = {}
    for number in range(rounds + 1):
        rates = gemm()
        for one in rotated(configurations, number):
            if one.label in failed:
                continue
            try:
                measurement = measure(one, rates)
            except RuntimeError as error:
                failed[one.label] = str(error)
                continue
            if number:
                measured[one.label].append(measurement)
        log.info("round %d of %d: GEMM %s GFLOP/s", number, rounds, [round(rate) for rate in rates])
    return {label: mine for label, mine in measured.items() if label not in failed}, failed
