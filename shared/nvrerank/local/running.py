"""A model's batches, one after another: planned by tokens, smaller when memory runs out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError

import torch
from torch import Tensor
from tqdm.auto import tqdm

from nvrerank.batches import by_token_budget, put_back
from nvrerank.errors import RequestRejectedError

from .prompt import TokenPair

Forward = Callable[[Sequence[TokenPair]], Tensor]


class BatchRunner:
    """Runs a model over pairs; calls from several threads take turns batch by batch.

    Args:
        budget: Tokens computed at once; halved when memory runs out, for good.
        progress: Whether a bar shows the passages done.
    """

    def __init__(self, budget: int, *, progress: bool) -> None:
        self.budget = budget
        self._progress = progress
        self._turn = threading.Lock()

    def run(self, forward: Forward, pairs: Sequence[TokenPair], stopped: Callable[[], bool]) -> list[float]:
        """Scores pairs.

        Args:
            forward: Token ids of a batch to logits: [pairs]
            pairs: What to score.
            stopped: Asked before each batch.

        Returns:
            A logit for each pair, in input order.

        Raises:
            CancelledError: `stopped` said so.
            RequestRejectedError: One pair alone does not fit into memory.
        """
        positions: list[int] = []
        answers: list[Tensor] = []  # stay on the device until all are there
        waiting = self._plan(pairs, range(len(pairs)))
        with tqdm(total=len(pairs), unit="passage", disable=not self._progress) as bar:
            while waiting:
                if stopped():
                    raise CancelledError
                batch = waiting[0]
                logits = self._attempt(forward, [pairs[position] for position in batch])
                if logits is None:
                    self._shrink(pairs, batch)
                    waiting = self._plan(pairs, [position for rest in waiting for position in rest])
                    continue
                positions += batch
                answers.append(logits)
                waiting = waiting[1:]
                bar.update(len(batch))
        return put_back([positions], [torch.cat(answers).tolist()], len(pairs))

    def _plan(self, pairs: Sequence[TokenPair], positions: Sequence[int]) -> list[list[int]]:
        plan = by_token_budget([len(pairs[position].ids) for position in positions], self.budget)
        return [[positions[place] for place in batch] for batch in plan]

    def _attempt(self, forward: Forward, batch: Sequence[TokenPair]) -> Tensor | None:
        """The batch's logits; None: memory ran out."""
        with self._turn, torch.inference_mode():
            try:
                return forward(batch)
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None

    def _shrink(self, pairs: Sequence[TokenPair], batch: Sequence[int]) -> None:
        tokens = sum(len(pairs[position].ids) for position in batch)
        if len(batch) == 1:
            raise RequestRejectedError(
                f"{tokens} tokens do not fit into memory, even alone: give a smaller max_length, a smaller "
                "dtype or another device",
                index=batch[0],
            )
        self.budget = min(self.budget, max(1, tokens // 2))


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator gave up; the CPU's says so only in words."""
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        word in str(error) for word in words
    )
