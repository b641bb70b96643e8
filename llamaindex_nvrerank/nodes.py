"""Node <-> passage. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore

from nvrerank import Ranked
from nvrerank.fusion import known_score
from nvrerank.texts import span_before_cleaning

RETRIEVAL_SCORE_KEY = "retrieval_score"
WINDOW_KEY = "relevance_window"
TRUNCATED_KEY = "relevance_truncated"
FUSED_KEY = "fused_score"
_MARKS = (WINDOW_KEY, TRUNCATED_KEY, FUSED_KEY)
_UNCHANGING = frozenset({str, int, float, bool, type(None)})


def checked_nodes(nodes: Iterable[NodeWithScore]) -> list[NodeWithScore]:
    """Takes nodes out of any iterable, once.

    Raises:
        TypeError: It is not an iterable, or an item is not a `NodeWithScore`.
    """
    if not isinstance(nodes, Iterable):
        raise TypeError(f"nodes must be a list of NodeWithScore, not {type(nodes).__name__}")
    checked = list(nodes)
    for index, node in enumerate(checked):
        if not isinstance(node, NodeWithScore):
            raise TypeError(f"nodes[{index}] must be a NodeWithScore, not {type(node).__name__}")
    return checked


def text_of(scored: NodeWithScore) -> str:
    """What the embedding saw: `.text` and `get_text()` raise for nodes that are not text nodes."""
    return scored.node.get_content(metadata_mode=MetadataMode.EMBED)


def retrieval_scores(nodes: Iterable[NodeWithScore]) -> list[float | None]:
    """What retrieval scored each node: what an earlier reranking kept, else the node's score."""
    return [_retrieval_score(one) for one in nodes]


def ranked_nodes(nodes: Sequence[NodeWithScore], ranked: Sequence[Ranked]) -> list[NodeWithScore]:
    """The nodes in their new order, each with its score, None for a blank one.

    A retrieval score and marks are kept in the metadata of a copy of the node; marks of an earlier reranking
    go. Where nothing was scored (a passthrough) nodes and retrieval scores stay as they were.
    """
    if all(one.score is None for one in ranked):
        return [NodeWithScore(node=nodes[one.index].node, score=nodes[one.index].score) for one in ranked]
    return [NodeWithScore(node=_marked(nodes[one.index], one), score=one.score) for one in ranked]


def own_window(node: BaseNode, window: tuple[int, int]) -> list[int] | None:
    """A window of what was scored, metadata and text, as [start, end] of the node's own text.

    None: it lies in the metadata alone, or a template of the user's own does not hold the text as it is.
    """
    scored, own = node.get_content(metadata_mode=MetadataMode.EMBED), node.get_content(MetadataMode.NONE)
    template = getattr(node, "text_template", "")
    text_first = template.find("{content}") < template.find("{metadata_str}")  # which may quote it
    place = (scored.find if text_first else scored.rfind)(own.strip())  # a template strips the whole
    before = place - (len(own) - len(own.lstrip()))
    edges = span_before_cleaning(scored, window)
    start, end = (min(max(edge - before, 0), len(own)) for edge in edges)
    return [start, end] if place >= 0 and start < end else None


def _marked(scored: NodeWithScore, one: Ranked) -> BaseNode:
    node = scored.node
    marks = _marks(node, one)
    if scored.score is not None and RETRIEVAL_SCORE_KEY not in node.metadata:
        marks[RETRIEVAL_SCORE_KEY] = float(scored.score)
    stale = [key for key in _MARKS if key in node.metadata]
    if not marks and not stale:
        return node
    kept = {
        key: value if type(value) in _UNCHANGING else deepcopy(value)  # each copy takes its time
        for key, value in node.metadata.items()
        if key not in stale
    }
    return node.model_copy(
        update={
            "metadata": {**kept, **marks},
            "excluded_embed_metadata_keys": _with(node.excluded_embed_metadata_keys, marks),
            "excluded_llm_metadata_keys": _with(node.excluded_llm_metadata_keys, marks),
        }
    )


def _marks(node: BaseNode, one: Ranked) -> dict[str, Any]:
    marks: dict[str, Any] = {}
    if one.window is not None and (window := own_window(node, one.window)):
        marks[WINDOW_KEY] = window
    if one.truncated:
        marks[TRUNCATED_KEY] = True
    if one.fused is not None:
        marks[FUSED_KEY] = one.fused
    return marks


def _with(excluded: Sequence[str], keys: Iterable[str]) -> list[str]:
    return [*excluded, *(key for key in keys if key not in excluded)]


def _retrieval_score(scored: NodeWithScore) -> float | None:
    kept = known_score(scored.node.metadata.get(RETRIEVAL_SCORE_KEY))
    return known_score(scored.score) if kept is None else kept
