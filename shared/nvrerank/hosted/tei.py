"""The protocol of Text Embeddings Inference: POST {base}/rerank. Pure."""

from __future__ import annotations

from nvrerank.errors import BadResponseError

from .messages import ApiProtocol, Scores, Truncate
from .replies import REPORT, in_input_order, is_name, member, parsed, usage


def body(
    model: str | None,  # noqa: ARG001 (a server has one model)
    query: str,
    passages: list[str],
    truncate: Truncate | None,
    raw: bool,  # noqa: FBT001 (a protocol's five arguments come in order)
) -> dict[str, object]:
    """The request."""
    request: dict[str, object] = {"query": query, "texts": passages, "raw_scores": raw}
    if truncate is not None:
        request |= {"truncate": truncate == "END", "truncation_direction": "Right"}
    return request


def read(count: int, reply: bytes) -> Scores:
    """Scores in input order: logits if raw ones were asked for, else sigmoids.

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
    scale="logit",
    optional=frozenset(),
    body=body,
    read=read,
    read_models=read_models,
)
