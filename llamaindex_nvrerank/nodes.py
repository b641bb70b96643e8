"""Node <-> passage. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy

from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore

from nvrerank import Ranked

RETRIEVAL_SCORE_KEY = "retrieval_score"


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


def ranked_nodes(nodes: Sequence[NodeWithScore], ranked: Sequence[Ranked]) -> list[NodeWithScore]:
    """The nodes in their new order, each with its score, None for a blank one.

    A retrieval score is kept in the metadata of a copy of the node. Where nothing was scored (a
    passthrough) nodes and retrieval scores stay as they were.
    """
    if all(one.score is None for one in ranked):
        return [NodeWithScore(node=nodes[one.index].node, score=nodes[one.index].score) for one in ranked]
    return [NodeWithScore(node=_with_retrieval_score(nodes[one.index]), score=one.score) for one in ranked]


def _with_retrieval_score(scored: NodeWithScore) -> BaseNode:
    node = scored.node
    if scored.score is None or RETRIEVAL_SCORE_KEY in node.metadata:
        return node
    return node.model_copy(
        update={
            "metadata": {**deepcopy(node.metadata), RETRIEVAL_SCORE_KEY: float(scored.score)},
            "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, RETRIEVAL_SCORE_KEY],
            "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, RETRIEVAL_SCORE_KEY],
        }
    )
