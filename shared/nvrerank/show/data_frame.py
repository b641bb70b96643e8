"""A ranking as a pandas data frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nvrerank.errors import MissingExtraError

from .framework_results import Results, Shown, ranking_of
from .rows import rows_of

if TYPE_CHECKING:
    from pandas import DataFrame

_TYPES = {
    "rank": "int64",
    "before": "int64",
    "moved": "int64",
    "index": "int64",
    "score": "float64",
    "retrieval_score": "float64",
    "fused": "float64",
    "text": "string",
    "truncated": "boolean",
}


def to_pandas(ranking: Shown) -> DataFrame:
    """Makes a data frame, a row a passage, best first.

    Args:
        ranking: What `rerank` returned, or LangChain's documents or LlamaIndex's nodes.

    Returns:
        Columns rank, before (its place in the retrieval order) and moved (integers; places from 1; not for
        documents and nodes, which do not tell), index
        (in the input), score, retrieval_score and fused (floats, NaN where there is none), text (string),
        truncated (boolean, NA where it isn't known), window_start and window_end (integers, NA: the whole
        text). `attrs["query"]` is the query.

    Raises:
        MissingExtraError: pandas is not installed.
        TypeError: There is something else than documents or nodes.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError("a data frame needs pandas: pip install 'nvrerank[show]'") from error
    ranking = ranking_of(ranking)
    rows = rows_of(ranking)
    columns = {
        name: pd.Series([getattr(row, name) for row in rows], dtype=kind) for name, kind in _TYPES.items()
    }
    for place, name in enumerate(("window_start", "window_end")):
        columns[name] = pd.Series([row.window and row.window[place] for row in rows], dtype="Int64")
    if isinstance(ranking, Results):
        del columns["before"], columns["moved"]
    frame: DataFrame = pd.DataFrame(columns)
    frame.attrs["query"] = ranking.query
    return frame
