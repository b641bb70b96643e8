"""What goes together: by count, by bytes, by tokens; and scores put back in place. Pure.

A plan is a list of batches, a batch a list of positions; every position is in exactly one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

LEAST = 128
"""Tokens below which a batch is more overhead than work."""


def by_count(total: int, size: int) -> list[list[int]]:
    """Cuts positions 0..total-1 into batches of at most `size`, in order.

    Raises:
        ValueError: size is less than 1.
    """
    return by_bytes([0] * total, 0, at_most=size)


def by_bytes(sizes: Sequence[int], budget: int, *, at_most: int) -> list[list[int]]:
    """Fills batches with items of these sizes, in order, up to `budget` bytes and `at_most` items.

    One that is over the budget by itself gets a batch of its own: whoever sends it may refuse it.

    Raises:
        ValueError: at_most is less than 1.
    """
    if at_most < 1:
        raise ValueError(f"a batch holds at least 1, not {at_most}")
    return _fill(range(len(sizes)), sizes, budget, at_most)


def by_token_budget(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Fills batches with the longest first, up to `budget` tokens each.

    Longest first finds a shortage of memory at once and keeps like with like. Batches are packed, so tokens
    add up; a sequence that is over the budget by itself gets a batch of its own.
    """
    longest_first = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)  # stable
    return _fill(longest_first, lengths, budget, len(lengths))


def share_of_budget(total: int, budget: int, workers: int) -> int:
    """How many of all tokens a batch holds, at most `budget`, so that all workers are busy until the end.

    Four batches a worker leave little to wait for at the end; a batch has `LEAST` tokens. More batches are as
    many for each worker, with a sixteenth of room since none is filled to the brim.
    """
    share = max(LEAST, -(-total // (4 * workers)))
    if share <= budget:
        return share
    even = -(-total // (workers * -(-total // (budget * workers))))
    return min(budget, even + even // 16)


def put_back(plan: Sequence[Sequence[int]], answers: Iterable[Sequence[float]], total: int) -> list[float]:
    """Puts the scores of planned batches, which come in the plan's order, in input order: [total].

    Raises:
        ValueError: A batch's scores are more or fewer than its positions, or one is left out.
    """
    by_position: dict[int, float] = {}
    for batch, scores in zip(plan, answers, strict=True):
        by_position.update(zip(batch, scores, strict=True))
    if len(by_position) != total:
        raise ValueError(f"the plan covers {len(by_position)} of {total} positions")
    return [by_position[position] for position in range(total)]


def _fill(positions: Iterable[int], sizes: Sequence[int], budget: int, at_most: int) -> list[list[int]]:
    plan: list[list[int]] = []
    used = budget + 1  # so that the first position opens a batch
    for position in positions:
        if used + sizes[position] > budget or len(plan[-1]) >= at_most:
            plan.append([])
            used = 0
        plan[-1].append(position)
        used += sizes[position]
    return plan
