"""Scorers that a person can follow."""

from __future__ import annotations

import threading

from nvrerank import Scorer, ServiceUnavailableError


class Length(Scorer):
    """Scores a passage by its length, times `weight`; fails where it is told to; notes what it was asked."""

    name = "length"
    scale = "logit"
    calibrated = True
    listwise = False
    identity = None

    def __init__(self, name="length", weight=1.0, **settings):
        self.name = name
        self.weight = weight
        self.fails = None
        self.asked = []
        self.closed = False
        vars(self).update(settings)

    def _score(self, query, passages):
        self.asked.append((query, list(passages)))
        if self.fails is not None:
            raise self.fails
        return [len(passage) * self.weight for passage in passages]

    def close(self):
        self.closed = True


class ByOverlap(Scorer):
    """How many of the query's words are in the passage."""

    def score(self, query, passages):
        words = set(query.split())
        return [float(len(words.intersection(passage.replace(":", "").split()))) for passage in passages]


class Known(Length):
    """One that says what decides its scores."""

    @property
    def identity(self):
        return {"name": self.name, "weight": self.weight}


class Gated(Length):
    """Answers when it is let; sync and async."""

    def __init__(self, name="gated"):
        super().__init__(name)
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()

    def _score(self, query, passages):
        self.begun.release()
        self.gate.wait(10)
        return super()._score(query, passages)


def down():
    return ServiceUnavailableError("it is down")
