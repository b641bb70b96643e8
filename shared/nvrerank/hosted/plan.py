"""Which passages go in one request. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from nvrerank import batches
from nvrerank.errors import RequestRejectedError

MOST_BYTES = 4_500_000
"""Of a request's body: NVIDIA's gateway takes 5 MB."""

_FRAME = 1_000  # bytes of a body beside query and passages; a model's name has at most 128 characters
_ITEM = 16  # bytes around one passage
_WORST = 6  # bytes that one character may become


def plan(
    query: str, passages: Sequence[str], at_most: int, *, strict: bool, more: int = 0
) -> list[list[int]]:
    """Cuts passages into requests, in order.

    Args:
        query: Goes along with each.
        passages: What to score.
        at_most: Passages a request.
        strict: Whether the server refuses more than 4.5 MB; else a longer passage goes by itself.
        more: Bytes of what else goes along with each.

    Raises:
        RequestRejectedError: Query or passage is too long for any request; `index` names the passage.
    """
    frame = _FRAME + more
    if sum(map(len, passages)) * _WORST + len(query) * _WORST + len(passages) * _ITEM + frame < MOST_BYTES:
        return batches.by_count(len(passages), at_most)
    budget = MOST_BYTES - frame - _size(query)
    sizes = [_size(passage) + _ITEM for passage in passages]
    if strict and max(sizes) > budget:
        index = sizes.index(max(sizes)) if budget > 0 else None
        raise RequestRejectedError(
            f"a request holds at most {MOST_BYTES} bytes with its query: shorten it", index=index
        )
    return batches.by_bytes(sizes, budget, at_most=at_most)


def _size(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())
