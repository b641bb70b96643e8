"""LangChain's documents and LlamaIndex's nodes, as the adapters return them, as a ranking. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nvrerank.fusion import known_score
from nvrerank.results import Ranked, Ranking

Shown = Ranking | Iterable[Any]
"""A ranking, or documents or nodes."""


class Results(Ranking):
    """Documents or nodes as a ranking; where they stood before is not known."""


@dataclass(frozen=True, slots=True)
class _Result:
    """A document or a node: what it says, by what it is found again, and its retrieval score."""

    ranked: Ranked
    key: Hashable
    retrieval_score: float | None


def ranking_of(results: Shown, query: str = "", *, retrieved: Iterable[Any] | None = None) -> Ranking:
    """Makes a ranking of what an adapter returned, to look at it.

    Args:
        results: LangChain's documents or LlamaIndex's nodes, best first; a ranking is returned as it is.
        query: The question.
        retrieved: What was reranked, in retrieval order; None: nobody knows where they stood before.

    Raises:
        TypeError: There is something else than documents or nodes.
        ValueError: A result is not among what was retrieved.
    """
    if isinstance(results, Ranking):
        return results
    found = [_read(one) for one in results]
    before = found if retrieved is None else [_read(one) for one in retrieved]
    places: dict[Hashable, list[int]] = {}
    for place, one in enumerate(before):
        places.setdefault(one.key, []).append(place)
    scores, ranked = [one.retrieval_score for one in before], []
    for one in found:
        if not places.get(one.key):
            raise ValueError(f"this is not among what was retrieved: {one.ranked.text!r:.100}")
        place = places[one.key].pop(0)
        scores[place] = scores[place] if one.retrieval_score is None else one.retrieval_score
        ranked.append(replace(one.ranked, index=place))
    known = None if all(score is None for score in scores) else scores
    kind = Results if retrieved is None else Ranking
    return kind(ranked, query, [one.ranked.text for one in before], known)


def _read(one: Any) -> _Result:
    """By the names that LangChain, LlamaIndex and the adapters have for things."""
    known: Mapping[str, Any]
    if hasattr(one, "page_content"):
        text, name, known = one.page_content, one.id, one.metadata
        score = known.get("relevance_score")
    elif hasattr(one, "node"):
        text, name, known = one.node.get_content(), one.node.node_id, vars(one)
        score = one.score
    else:
        kind = type(one).__name__
        raise TypeError(
            f"this shows what rerank returns, LangChain's documents and LlamaIndex's nodes, not {kind}"
        )
    window = known.get("relevance_window")
    ranked = Ranked(
        0,
        known_score(score),
        truncated=known.get("relevance_truncated"),
        window=(window[0], window[1]) if window else None,
        fused=known_score(known.get("fused_score")),
        source=known.get("relevance_source"),
        text=text,
    )
    return _Result(ranked, (name, text), known_score(known.get("retrieval_score")))
