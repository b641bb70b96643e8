"""Cohere's protocol, v1 and v2, which vLLM, Jina and infinity speak, too: POST {base}/rerank. Pure."""

from __future__ import annotations

from .messages import ApiProtocol, Scores, Truncate
from .replies import in_input_order, member, model_ids, parsed, usage

_RAW = {"use_activation": False, "activation": False, "raw_scores": True}
"""What asks for logits: vLLM since 0.11, vLLM 0.9 and 0.10 (its `RerankRequest`), infinity (its pull request
393). Others ignore a member that they don't know, or refuse it."""

_TRUNCATE = {"truncate_prompt_tokens": -1}
"""What asks vLLM to cut at what the model reads; Cohere and Jina cut by themselves."""


def body(
    model: str | None,
    query: str,
    passages: list[str],
    truncate: Truncate | None,
    raw: bool,  # noqa: FBT001 (a protocol's five arguments come in order)
) -> dict[str, object]:
    """The request; what of it is `optional` is left out once a server refuses it, as Cohere's does (422)."""
    request: dict[str, object] = {"model": model, "query": query, "documents": passages}
    return request | (_RAW if raw else {}) | (_TRUNCATE if truncate == "END" else {})


def read(count: int, reply: bytes) -> Scores:
    """Scores in input order, as the server gives them.

    They are in `results`, in `data` (Voyage) or the reply itself (SGLang), as `relevance_score` or `score`.

    Raises:
        BadResponseError: They are not one finite number a passage.
    """
    answer = parsed(reply)
    if isinstance(answer, dict):
        items = member(answer, "data" if "data" in answer and "results" not in answer else "results")
    else:
        items = answer
    return Scores(in_input_order(items, count, score=_score_key(items)), usage(answer, count))


def _score_key(items: object) -> str:
    first = items[0] if isinstance(items, list) and items else None
    shorter = isinstance(first, dict) and "score" in first and "relevance_score" not in first
    return "score" if shorter else "relevance_score"


def read_models(reply: bytes) -> list[str]:
    """Ids of the models served, base models first."""
    return model_ids(parsed(reply))


PROTOCOL = ApiProtocol(
    name="cohere",
    verb="rerank",
    root="/v1/rerank",
    models="/v1/models",
    health="/health",
    batch=512,
    needs_model=True,
    scale=None,
    optional=frozenset({*_RAW, *_TRUNCATE}),
    body=body,
    read=read,
    read_models=read_models,
)
