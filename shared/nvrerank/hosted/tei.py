"""The protocol of Text Embeddings Inference: POST {base}/rerank. Pure."""

from __future__ import annotations

from nvrerank.errors import BadResponseError

from .messages import ApiProtocol, Scores, Truncate
from .replies import REPORT, dumps, in_input_order, is_name, member, parsed, usage


def body(model: str | None, query: str, passages: list[str], truncate: Truncate | None) -> bytes:  # noqa: ARG001 (a server has one model)
    """The request, for raw scores."""
    request: dict[str, object] = {"query": query, "texts": passages, "raw_scores": True}
    if truncate is not None:
        request |= {"truncate": truncate == "END", "truncation_direction": "Right"}
    return dumps(request)


def read(count: int, reply: bytes) -> Scores:
    """Raw logits in input order.

    Raises:
        BadResponseError: They are not one finite number a passage.
    """
    answer = parsed(reply)
    return Scores(in_input_order(answer, count, score="score"), usage(answer, count))


def read_models(reply: bytes) -> list[str]:
    """The one model of the server, from `GET /info`."""
    name = member(parsed(reply), "model_id")
    if not is_name(name):
        raise BadResponseError(f"the server's model_id is no name: {REPORT}")
    return [str(name)]


PROTOCOL = ApiProtocol(
    name="tei",
    verb="rerank",
    root="/rerank",
    models="/info",
    health="/health",
    batch=32,
    needs_model=False,
    body=body,
    read=read,
    read_models=read_models,
)
