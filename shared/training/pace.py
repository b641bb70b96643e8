"""How long a run trains, and how fast it learns meanwhile. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

WARMUP = 100  # steps
FALLING = 0.5  # of a run's time: the learning rate falls in its last part
LEAST = 0.02  # where it falls to


@dataclass(frozen=True)
class Pace:
    """How long to train, and by which learning rate.

    Attributes:
        steps: Where the run ends.
        decay_from: From this step on the learning rate falls.
        per_process: Questions a step in each process.
        seconds: The run ends after so many, whatever the step; the rate falls in their second half.
        factor: What all learning rates are multiplied by.
    """

    steps: int
    decay_from: int
    per_process: int = 3
    seconds: float = math.inf
    factor: float = 1.0

    def rate(self, step: int, passed: float = 0.0) -> float:
        """The share of the full learning rate at a step, so many seconds after the run began."""
        by_steps = (self.steps - step) / max(1, self.steps - self.decay_from)
        by_clock = (1 - passed / self.seconds) / FALLING
        return self.factor * min(1.0, (step + 1) / WARMUP, max(LEAST, min(by_steps, by_clock)))
