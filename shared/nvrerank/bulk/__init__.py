"""Bulk: millions of pairs scored from files to files, on one machine or on Ray."""

from __future__ import annotations

from nvrerank.errors import MissingExtraError

try:
    import pyarrow as _pa  # noqa: F401, ICN001
    import tqdm as _tqdm  # noqa: F401
except ImportError as error:
    raise MissingExtraError(f"bulk scoring needs {error.name}: pip install 'nvrerank[bulk]'") from error

from .ray_engine import score_dataset
from .report import BulkReport, FailedRow
from .reranking import rerank_parquet

__all__ = ["BulkReport", "FailedRow", "rerank_parquet", "score_dataset"]
