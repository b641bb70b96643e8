"""Rounds: each contestant scores the same jobs once in every one, in an order that turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

PAUSE = 0.1
"""Seconds after each turn: threads that spin for a while after their work are asleep in the next one's."""
T = TypeVar("T")


@dataclass(frozen=True)
class Entrant:
    """A row of the table: a peer on one of its workers, with settings.

    Attributes:
        label: The row's name.
        peer: The peer's.
        worker: The worker's.
        settings: What it is told before each turn.
        precision: "fp32" or "int8".
        kind: "ours", "default" or "best".
    """

    label: str
    peer: str
    worker: str
    settings: dict[str, Any] = field(default_factory=dict)
    precision: str = "fp32"
    kind: str = "default"


@dataclass(frozen=True)
class Turn:
    """One contestant's turn in one round.

    Attributes:
        seconds: Wall time of its scoring, by its own clock.
        cpu: CPU seconds of its process meanwhile.
        load: Cores used by whom; see `load.Load`.
        gemm: GFLOP/s that the probe reached in the same round.
        scores: Logits of each job.
    """

    seconds: float
    cpu: float
    load: dict[str, float | bool]
    gemm: float
    scores: list[list[float]]


def order(entrants: Sequence[T], number: int) -> list[T]:
    """The order of a round: turned by one each time, and every second time backwards.

    So nobody always follows the same neighbour, whose heat or cache it would inherit.
    """
    start = number % len(entrants)
    turned = [*entrants[start:], *entrants[:start]]
    return turned[::-1] if number % 2 else turned


def play(
    entrants: Sequence[Entrant],
    rounds: int,
    take_turn: Callable[[Entrant, float], Turn],
    probe: Callable[[], float],
    tell: Callable[[str], None],
) -> tuple[dict[str, list[Turn]], dict[str, str]]:
    """Plays one round to warm up and then so many that count.

    Args:
        entrants: The rows.
        rounds: How many count.
        take_turn: Plays an entrant's turn, given the probe's rate in this round.
        probe: The rate of matrix multiplication now, GFLOP/s.
        tell: Gets a line on each round.

    Returns:
        Turns by label, and by label why an entrant failed; one that failed takes no further part.
    """
    turns: dict[str, list[Turn]] = {entrant.label: [] for entrant in entrants}
    failed: dict[str, str] = {}
    for number in range(rounds + 1):
        rate = probe()
        for entrant in order(entrants, number):
            if entrant.label in failed:
                continue
            try:
                turn = take_turn(entrant, rate)
            except RuntimeError as error:
                failed[entrant.label] = str(error)
                continue
            if number:
                turns[entrant.label].append(turn)
        tell(f"round {number} of {rounds}: probe {rate:.0f} GFLOP/s")
    return {label: mine for label, mine in turns.items() if label not in failed}, failed


def pause() -> None:
    """Lets threads fall asleep."""
    time.sleep(PAUSE)
