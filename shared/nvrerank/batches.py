"""What goes together: by count, by bytes; and scores put back in place. Pure.

A plan is a list of batches, a batch a list of positions; every position is in exactly one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


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
    plan: list[list[int]] = []
    used = budget + 1  # so that the first position opens a batch
    for position, size in enumerate(sizes):
        if used + size > budget or len(plan[-1]) >= at_most:
            plan.append([])
            used = 0
        plan[-1].append(position)
        used += size
    return plan


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
