"""NVIDIA's own protocol: POST {base}/ranking. Pure."""

from __future__ import annotations

from .messages import ApiProtocol, Scores, Truncate
from .replies import in_input_order, member, model_ids, parsed, usage


def body(
    model: str | None,
    query: str,
    passages: list[str],
    truncate: Truncate | None,
    raw: bool,  # noqa: ARG001, FBT001 (a NIM gives logits alone)
) -> dict[str, object]:
    """The request; `top_n` is not sent: the server refuses it."""
    request: dict[str, object] = {
        "model": model,
        "query": {"text": query},
        "passages": [{"text": text} for text in passages],
    }
    if truncate is not None:
        request["truncate"] = truncate
    return request


def read(count: int, reply: bytes) -> Scores:
    """Raw logits in input order.

    Raises:
        BadResponseError: They are not one finite number a passage.
    """
    answer = parsed(reply)
    return Scores(in_input_order(member(answer, "rankings"), count, score="logit"), usage(answer, count))


def read_models(reply: bytes) -> list[str]:
    """Ids of the models served, base models first."""
    return model_ids(parsed(reply))


PROTOCOL = ApiProtocol(
    name="nim",
    verb="ranking",
    root="/v1/ranking",
    models="models",
    health="health/ready",
    batch=512,
    needs_model=True,
    scale="logit",
    optional=frozenset(),
    body=body,
    read=read,
    read_models=read_models,
)
