"""A ranking as a pandas data frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nvrerank.results import Ranking

from .extra import open_pandas
from .rows import rows_of

if TYPE_CHECKING:
    from pandas import DataFrame


def to_pandas(ranking: Ranking) -> DataFrame:
    """Makes a data frame, a row a passage, best first.

    Args:
        ranking: What `rerank` returned.

    Returns:
        Columns rank, before (its place in the retrieval order) and moved (integers; places from 1), index
        (in the input), score, retrieval_score and fused (floats, NaN where there is none), text (string),
        truncated (boolean, NA where it isn't known), window_start and window_end (integers, NA: the whole
        text).
        `attrs["query"]` is the query.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    pd = open_pandas()
    rows = rows_of(ranking)
    columns = {
        "rank": ([row.rank for row in rows], "int64"),
        "before": ([row.before for row in rows], "int64"),
        "moved": ([row.moved for row in rows], "int64"),
        "index": ([row.index for row in rows], "int64"),
        "score": ([row.score for row in rows], "float64"),
        "retrieval_score": ([row.retrieval_score for row in rows], "float64"),
        "fused": ([row.fused for row in rows], "float64"),
        "text": ([row.text for row in rows], "string"),
        "truncated": ([row.truncated for row in rows], "boolean"),
        "window_start": ([row.window and row.window[0] for row in rows], "Int64"),
        "window_end": ([row.window and row.window[1] for row in rows], "Int64"),
    }
    frame = pd.DataFrame({name: pd.Series(values, dtype=kind) for name, (values, kind) in columns.items()})
    frame.attrs["query"] = ranking.query
    return frame
