"""A small data set, and scorers that keep count."""

from __future__ import annotations

from nvrerank import RequestRejectedError, Scorer

CORPUS = {
    "p1": "the cat sat on the mat",
    "p2": "a dog chased the cat",
    "p3": "paris is the capital of france",
    "p4": "berlin is the capital of germany",
    "p5": "  ",
    "p6": "a dog chased the cat",
    "p7": "capital letters start a sentence",
}
QUERIES = {"q1": "which dog chased a cat", "q2": "capital of france", "q3": "capital of germany berlin"}
QRELS = {"q1": {"p2": 1, "p6": 1}, "q2": {"p3": 1}, "q3": {"p4": 2, "p3": 0}}


class Counting(Scorer):
    """Scores by words in common, a longer passage less; notes each pair; fails where it is told to."""

    name = "counting"

    def __init__(self, *, fails=()):
        self.seen = []
        self.fails = set(fails)

    def score(self, query, passages):
        if query in self.fails:
            raise RequestRejectedError("too long for me", index=0)
        self.seen += [(query, passage) for passage in passages]
        return [overlap(query, passage) for passage in passages]


class Packing(Counting):
    """Gains by several queries at once."""

    def score_many(self, jobs):
        jobs = list(jobs)
        self.calls = [*getattr(self, "calls", []), len(jobs)]
        return super().score_many(jobs)


def overlap(query, passage):
    common = set(query.split()) & set(passage.split())
    return len(common) - len(passage.split()) / 100
