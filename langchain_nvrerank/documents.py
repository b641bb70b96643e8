"""Document <-> passage, and where a chain's mapping keeps the query and the documents. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from nvrerank import Ranked

SCORE_KEY = "relevance_score"
RETRIEVAL_SCORE_KEY = "retrieval_score"

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


def ranked_documents(documents: Sequence[Document], ranked: Sequence[Ranked]) -> list[Document]:
    """Copies of the documents in their new order, each with its score in `metadata`.

    A `relevance_score` that a document came with moves to `retrieval_score`; a blank document has no
    new one. Where nothing was scored (a passthrough) the metadata stays as it was.
    """
    copies = [documents[one.index].model_copy(deep=True) for one in ranked]
    if all(one.score is None for one in ranked):
        return copies
    for document, one in zip(copies, ranked, strict=True):
        if SCORE_KEY in document.metadata:
            document.metadata.setdefault(RETRIEVAL_SCORE_KEY, document.metadata.pop(SCORE_KEY))
        if one.score is not None:
            document.metadata[SCORE_KEY] = one.score
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
