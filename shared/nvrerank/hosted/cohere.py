"""Cohere's protocol, which vLLM, Jina and NVIDIA's inference gateway speak too: POST {base}/rerank. Pure."""

from __future__ import annotations

from .messages import ApiProtocol, Scores, Truncate
from .replies import dumps, in_input_order, member, model_ids, parsed, usage


def body(model: str | None, query: str, passages: list[str], truncate: Truncate | None) -> bytes:  # noqa: ARG001 (the protocol has no truncation)
    """The request; `use_activation: false` asks vLLM for logits, other servers ignore it."""
    return dumps({"model": model, "query": query, "documents": passages, "use_activation": False})


def read(count: int, reply: bytes) -> Scores:
    """Scores in input order, as raw as the server gives them.

    Raises:
        BadResponseError: They are not one finite number a passage.
    """
    answer = parsed(reply)
    scores = in_input_order(member(answer, "results"), count, score="relevance_score")
    return Scores(scores, usage(answer, count))


def read_models(reply: bytes) -> list[str]:
    """Ids of the models served, base models first."""
    return model_ids(parsed(reply))


PROTOCOL = ApiProtocol(
    name="cohere",
    verb="rerank",
    root="/v1/rerank",
    models="models",
    health="/health",
    batch=512,
    needs_model=True,
    body=body,
    read=read,
    read_models=read_models,
)
