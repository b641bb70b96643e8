"""Texts to unit vectors, like lengths together. Knows models by one method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from nvrerank.local.bundled.network import TwoSegmentEncoder
from training.mining import Vectors
from training.texts import Texts

QUERY = 64  # tokens of a query that its vector is made of
PASSAGE = 96  # tokens of a passage


class Encoder(Protocol):
    """What makes vectors of token ids."""

    def embed(self, inputs: Sequence[list[int]]) -> Tensor:
        """Directions of inputs: [inputs, size]."""
        ...


def embed(encoder: Encoder, inputs: Sequence[list[int]], together: int = 32) -> Vectors:
    """Directions of inputs, so many at a time: [inputs, size]."""
    order = sorted(range(len(inputs)), key=lambda one: len(inputs[one]))
    parts = [
        encoder.embed([inputs[one] for one in order[start : start + together]]).float().numpy()
        for start in range(0, len(order), together)
    ]
    found = np.concatenate(parts)
    vectors: Vectors = np.empty_like(found)
    vectors[order] = found
    return vectors


@dataclass(frozen=True)
class OwnVectors:
    """Vectors of the model that is trained."""

    model: TwoSegmentEncoder
    texts: Texts

    def queries(self, given: Sequence[str]) -> Vectors:
        """A unit vector for each query."""
        return embed(self.model, self.texts.queries(given, QUERY))

    def passages(self, given: Sequence[str]) -> Vectors:
        """A unit vector for each passage."""
        return embed(self.model, self.texts.passages(given, PASSAGE))
