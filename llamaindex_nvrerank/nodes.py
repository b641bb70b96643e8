"""Node <-> passage. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore

from nvrerank import Ranking
from nvrerank.adapters import Candidates, first_known, passed_through
from nvrerank.images import ImageSource
from nvrerank.texts import span_before_cleaning

RETRIEVAL_SCORE_KEY = "retrieval_score"
_EXCLUDED = ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys")
_COPIED = ("metadata", "relationships", *_EXCLUDED)
_MEDIA = ("audio_resource", "video_resource")


class RerankedNode(NodeWithScore):
    """A node with its new score, and what else is known of its place.

    All this stands beside the node: metadata enter `node.hash`, by which LlamaIndex tells nodes apart.

    Attributes:
        node: A copy of the node, with the same id and hash.
        score: The relevance; None for a blank node. After a passthrough the retrieval score.
        retrieval_score: What retrieval scored the node; None: nothing.
        relevance_window: Where the node was scored in parts, the best of them as [start, end] of
            `node.get_content()`.
        relevance_truncated: Whether its end was not read; None: not known.
        relevance_query_truncated: Whether the query's end is known not to have been read.
        fused_score: What it was ordered by with `fuse`.
        relevance_source: The name of the scorer that gave the score, where several could have.
    """

    retrieval_score: float | None = None
    relevance_window: list[int] | None = None
    relevance_truncated: bool | None = None
    relevance_query_truncated: bool = False
    fused_score: float | None = None
    relevance_source: str | None = None


def text_of(scored: NodeWithScore) -> str:
    """What the embedding saw: `.text` and `get_text()` raise for nodes that are not text nodes."""
    return scored.node.get_content(metadata_mode=MetadataMode.EMBED)


def retrieval_scores(nodes: Iterable[NodeWithScore]) -> list[float | None]:
    """What retrieval scored each node: what an earlier reranking kept, else the node's score."""
    return [_retrieval_score(one) for one in nodes]


def candidates_of(nodes: Sequence[NodeWithScore]) -> Candidates:
    """The nodes' texts, their images, and which have a sound or film."""
    images = {index: image for index, one in enumerate(nodes) if (image := _image_of(one.node)) is not None}
    media = [index for index, one in enumerate(nodes) if any(map(partial(_holds, one.node), _MEDIA))]
    return Candidates([text_of(one) for one in nodes], images, media)


def ranked_nodes(
    nodes: Sequence[NodeWithScore], ranked: Ranking, *, keep_retrieval_score: bool = False
) -> list[RerankedNode]:
    """Copies of the nodes in their new order, each with its score, None for a blank one.

    Where nothing was scored (a passthrough) each has its retrieval score.

    Args:
        nodes: The candidates; they are not changed.
        ranked: Their order.
        keep_retrieval_score: Whether the metadata have it too, which changes a node's hash.
    """
    unscored = passed_through(ranked)
    found = []
    for one in ranked:
        scored = nodes[one.index]
        before = _retrieval_score(scored)
        found.append(
            RerankedNode(
                node=_copy(scored.node, before if keep_retrieval_score else None),
                score=scored.score if unscored else one.score,
                retrieval_score=before,
                relevance_window=one.window and own_window(scored.node, one.window),
                relevance_truncated=one.truncated,
                relevance_query_truncated=ranked.query_truncated,
                fused_score=one.fused,
                relevance_source=one.source,
            )
        )
    return found


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


def _holds(node: BaseNode, name: str) -> bool:
    found = getattr(node, name, None)
    return bool(found and (found.data or found.path or found.url))


def _image_of(node: BaseNode) -> ImageSource | None:
    """A node's image: what it holds in base64, else its file, else its URL, as LlamaIndex resolves it."""
    resource = getattr(node, "image_resource", None)
    data, path, url = (
        getattr(node, f"image{name}", None) or getattr(resource, name.strip("_") or "data", None)
        for name in ("", "_path", "_url")
    )
    if data:
        text = data if isinstance(data, str) else data.decode()
        return text if text.startswith("data:") else f"data:;base64,{text}"
    return Path(path) if path else str(url) if url else None


def _copy(node: BaseNode, retrieval_score: float | None) -> BaseNode:
    """The node with containers of its own; the values in them are shared."""
    own: dict[str, Any] = {name: copy(getattr(node, name)) for name in _COPIED}
    if retrieval_score is not None:
        own["metadata"][RETRIEVAL_SCORE_KEY] = retrieval_score
        for name in _EXCLUDED:
            own[name] += [RETRIEVAL_SCORE_KEY] if RETRIEVAL_SCORE_KEY not in own[name] else []
    return node.model_copy(update=own)


def _retrieval_score(scored: NodeWithScore) -> float | None:
    kept = getattr(scored, "retrieval_score", None), scored.node.metadata.get(RETRIEVAL_SCORE_KEY)
    return first_known(*kept, scored.score)
