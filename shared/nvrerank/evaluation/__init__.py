"""Reranking measured: retrieval before and after, on data sets in BEIR's layout, as model cards report it."""

from __future__ import annotations

from nvrerank.errors import MissingExtraError

try:
    import ir_measures as _ir_measures  # noqa: F401
    import numpy as _np  # noqa: F401, ICN001
    import tqdm as _tqdm  # noqa: F401
except ImportError as error:
    raise MissingExtraError(f"measuring needs {error.name}: pip install 'nvrerank[eval]'") from error

from .errors import DataError
from .reading import read_set
from .report import Figure, Report, Row, SetInfo
from .running import evaluate
from .scoring import Failure
from .task import Task

__all__ = ["DataError", "Failure", "Figure", "Report", "Row", "SetInfo", "Task", "evaluate", "read_set"]
