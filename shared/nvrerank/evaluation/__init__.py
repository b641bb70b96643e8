"""Reranking measured: retrieval before and after, on data sets in BEIR's layout, as model cards report it."""

from __future__ import annotations

from nvrerank.data_file import DataError
from nvrerank.errors import MissingExtraError

try:
    import ir_measures as _ir_measures  # noqa: F401
    import numpy as _np  # noqa: F401, ICN001
    import tqdm as _tqdm  # noqa: F401
except ImportError as error:
    raise MissingExtraError(f"measuring needs {error.name}: pip install 'nvrerank[eval]'") from error

from .beir import read_set
from .evaluator import evaluate
from .report import Figure, PipelineRow, Report, SetInfo
from .scoring import FailedQuery
from .task import Task

__all__ = [
    "DataError",
    "FailedQuery",
    "Figure",
    "PipelineRow",
    "Report",
    "SetInfo",
    "Task",
    "evaluate",
    "read_set",
]
