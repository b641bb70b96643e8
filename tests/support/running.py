"""Models that are only a length, for tests of how batches are run."""

from __future__ import annotations

import torch

from nvrerank.local.tokenization import TokenPair

ERRORS = {
    "cuda": torch.OutOfMemoryError("CUDA out of memory"),
    "cpu": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
    "python": MemoryError(),
}


def pairs_of(*lengths: int) -> list[TokenPair]:
    return [TokenPair([length] * length, length, length) for length in lengths]


class SmallMemory:
    """A model whose score is the length, and which holds at most `room` tokens."""

    def __init__(self, room: int, error: BaseException) -> None:
        self.room, self.error = room, error
        self.batches: list[list[int]] = []

    def __call__(self, batch):
        lengths = [len(pair.ids) for pair in batch]
        self.batches.append(lengths)
        if sum(lengths) > self.room:
            raise self.error
        return torch.tensor([float(length) for length in lengths])
