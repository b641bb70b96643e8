"""Document <-> passage, and where a chain's mapping keeps the query and the documents. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from nvrerank import Ranked
from nvrerank.fusion import known_score
from nvrerank.texts import span_before_cleaning

SCORE_KEY = "relevance_score"
RETRIEVAL_SCORE_KEY = "retrieval_score"
WINDOW_KEY = "relevance_window"
TRUNCATED_KEY = "relevance_truncated"
FUSED_KEY = "fused_score"

RETRIEVAL_SCORE_KEYS = (RETRIEVAL_SCORE_KEY, SCORE_KEY, "score")
QUERY_KEYS = ("query", "question", "input")
DOCUMENTS_KEYS = ("documents", "context")


def checked_documents(documents: Iterable[Document]) -> list[Document]:
    """Takes documents out of any iterable, once.

    Raises:
        TypeError: It is not an iterable, or an item is not a `Document`.
    """
    if not isinstance(documents, Iterable):
        raise TypeError(f"documents must be a list of Document, not {type(documents).__name__}")
    checked = list(documents)
    for index, document in enumerate(checked):
        if not isinstance(document, Document):
            raise TypeError(f"documents[{index}] must be a Document, not {type(document).__name__}")
    return checked


def retrieval_scores(documents: Iterable[Document]) -> list[float | None]:
    """What retrieval scored each document: the first of `RETRIEVAL_SCORE_KEYS` that holds a finite number."""
    return [_retrieval_score(document.metadata) for document in documents]


def ranked_documents(documents: Sequence[Document], ranked: Sequence[Ranked]) -> list[Document]:
    """Copies of the documents in their new order, each with its score and marks in `metadata`.

    A `relevance_score` that a document came with moves to `retrieval_score`, marks of an earlier reranking
    go; a blank document has no new ones. Where nothing was scored (a passthrough) the metadata stays as it
    was.
    """
    copies = [documents[one.index].model_copy(deep=True) for one in ranked]
    if all(one.score is None for one in ranked):
        return copies
    for document, one in zip(copies, ranked, strict=True):
        if SCORE_KEY in document.metadata:
            document.metadata.setdefault(RETRIEVAL_SCORE_KEY, document.metadata.pop(SCORE_KEY))
        for key in (WINDOW_KEY, TRUNCATED_KEY, FUSED_KEY):
            document.metadata.pop(key, None)
        document.metadata.update(_marks(document.page_content, one))
    return copies


def value_of(inputs: Mapping[str, Any], keys: Sequence[str]) -> Any:
    """The value under the first of `keys` that a chain's mapping has.

    Raises:
        TypeError: The input is not a mapping.
        ValueError: It has none of the keys; the message names them and those it has.
    """
    if not isinstance(inputs, Mapping):
        raise TypeError(f"give a mapping with the query and the documents, not one {type(inputs).__name__}")
    for key in keys:
        if key in inputs:
            return inputs[key]
    wanted = " or ".join(map(repr, keys))
    found = ", ".join(map(repr, inputs)) or "none"
    raise ValueError(f"the input has no {wanted} (its keys: {found}): name yours in as_runnable()")


def _marks(text: str, one: Ranked) -> dict[str, Any]:
    marks: dict[str, Any] = {} if one.score is None else {SCORE_KEY: one.score}
    if one.fused is not None:
        marks[FUSED_KEY] = one.fused
    if one.window is not None:
        marks[WINDOW_KEY] = list(span_before_cleaning(text, one.window))
    if one.truncated:
        marks[TRUNCATED_KEY] = True
    return marks


def _retrieval_score(metadata: Mapping[str, Any]) -> float | None:
    scores = (known_score(metadata.get(key)) for key in RETRIEVAL_SCORE_KEYS)
    return next((score for score in scores if score is not None), None)
