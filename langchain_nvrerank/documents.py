"""Document <-> passage, and where a chain's or a graph's input has the query and the documents. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import HumanMessage

from nvrerank import Ranked, Ranking
from nvrerank.adapters import Candidates, checked_candidates, first_known, passed_through
from nvrerank.images import ImageSource
from nvrerank.ranking import ScoreMode
from nvrerank.texts import span_before_cleaning

SCORE_KEY = "relevance_score"
RETRIEVAL_SCORE_KEY = "retrieval_score"
WINDOW_KEY = "relevance_window"
TRUNCATED_KEY = "relevance_truncated"
QUERY_TRUNCATED_KEY = "relevance_query_truncated"
FUSED_KEY = "fused_score"
SOURCE_KEY = "relevance_source"
IMAGE_KEY = "image"
PLACE_KEY = "nvrerank_place"
_IMAGE = re.compile(r"data:image|[A-Za-z][A-Za-z0-9+.-]*://[^/?#]")

RETRIEVAL_SCORE_KEYS = (RETRIEVAL_SCORE_KEY, SCORE_KEY, "score")
QUERY_KEYS = ("query", "question", "input", "messages")
DOCUMENTS_KEYS = ("documents", "context")


def retrieval_scores(documents: Iterable[Document]) -> list[float | None]:
    """What retrieval scored each document: the first of `RETRIEVAL_SCORE_KEYS` that holds a finite number."""
    return [first_known(*map(one.metadata.get, RETRIEVAL_SCORE_KEYS)) for one in documents]


def candidates_of(documents: Sequence[Document]) -> Candidates:
    """The documents' texts, and images as NVIDIA's official class finds them: `metadata["image"]`.

    That is a data URL or a URL. Anything else under that name is metadata like any other; no file is opened
    because a document names it.
    """
    images: dict[int, ImageSource] = {
        index: image
        for index, one in enumerate(documents)
        if isinstance(image := one.metadata.get(IMAGE_KEY), str) and _IMAGE.match(image)
    }
    return Candidates([one.page_content for one in documents], images)


def numbered(documents: Iterable[Document]) -> list[Document]:
    """Copies that know their place, from 0, in their metadata.

    Raises:
        TypeError: One is no document.
    """
    return [
        one.model_copy(update={"metadata": {**one.metadata, PLACE_KEY: place}})
        for place, one in enumerate(checked_candidates(documents, Document, "documents"))
    ]


def ranked_documents(
    documents: Sequence[Document], ranked: Ranking, score_mode: ScoreMode = "logit"
) -> list[Document]:
    """Copies of the documents in their new order, each with its score and marks in `metadata`.

    The dictionary is a new one, its values are shared. `relevance_score` is always there: a float, for a
    blank document the least there is, -inf or 0.0. One that a document came with moves to `retrieval_score`,
    marks of an earlier reranking go. Where nothing was scored (a passthrough) the metadata stays as it was,
    and a `relevance_score` that is not there is None.
    """
    unscored, blank_score = passed_through(ranked), -math.inf if score_mode == "logit" else 0.0
    copies = []
    for one in ranked:
        document = documents[one.index]
        metadata = dict(document.metadata)
        if unscored:
            metadata.setdefault(SCORE_KEY, None)
        else:
            _mark(metadata, document.page_content, one, blank_score)
            if ranked.query_truncated:
                metadata[QUERY_TRUNCATED_KEY] = True
        copies.append(document.model_copy(update={"metadata": metadata}))
    return copies


def fields_of(inputs: Any) -> Mapping[str, Any]:
    """A mapping as it is; of a dataclass or a pydantic model, as a graph's state may be, its fields.

    Raises:
        TypeError: The input is nothing of the kind.
    """
    known = inputs if isinstance(inputs, Mapping) else getattr(inputs, "__dict__", None)
    if known is None:
        raise TypeError(f"give a mapping with the query and the documents, not one {type(inputs).__name__}")
    return known


def key_of(inputs: Mapping[str, Any], keys: Sequence[str]) -> str:
    """The first of `keys` that there is.

    Raises:
        ValueError: There is none; the message names them and those there are.
    """
    for key in keys:
        if key in inputs:
            return key
    wanted = " or ".join(map(repr, keys))
    found = ", ".join(map(repr, inputs)) or "none"
    raise ValueError(f"the input has no {wanted} (its keys: {found}): name yours by query_key, documents_key")


def last_question(messages: Iterable[Any]) -> str:
    """The text of the last message that a person wrote; "" if there is none."""
    return next((str(one.text) for one in reversed(list(messages)) if isinstance(one, HumanMessage)), "")


def _mark(metadata: dict[str, Any], text: str, one: Ranked, blank_score: float) -> None:
    before = metadata.pop(SCORE_KEY, None)
    if before is not None and not (isinstance(before, float) and before == -math.inf):  # a blank one's
        metadata.setdefault(RETRIEVAL_SCORE_KEY, before)
    for key in (WINDOW_KEY, TRUNCATED_KEY, QUERY_TRUNCATED_KEY, FUSED_KEY, SOURCE_KEY):
        metadata.pop(key, None)
    metadata[SCORE_KEY] = blank_score if one.score is None else one.score
    if one.fused is not None:
        metadata[FUSED_KEY] = one.fused
    if one.source is not None:
        metadata[SOURCE_KEY] = one.source
    if one.window is not None:
        metadata[WINDOW_KEY] = list(span_before_cleaning(text, one.window))
    if one.truncated:
        metadata[TRUNCATED_KEY] = True
