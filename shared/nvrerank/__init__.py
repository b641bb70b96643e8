"""Reranking with NVIDIA's models: one scoring core for LangChain, LlamaIndex and plain Python.

Importing this package loads neither a framework nor torch nor an HTTP client; a scorer's room is
opened when its name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from . import per_process as per_process  # it counts forks from here on
from .errors import (
    AuthenticationError,
    BadResponseError,
    DeadlineExceededError,
    InvalidArgumentError,
    MissingExtraError,
    MissingKeyError,
    ModelLoadError,
    ModelRetiredError,
    NVRerankError,
    RateLimitError,
    RequestRejectedError,
    ScorerClosedError,
    ScoringError,
    ServiceUnavailableError,
)
from .fusion import ReciprocalRankFusion, ZScoreFusion
from .models import MODELS, RerankModel
from .ranking import PassthroughWarning, UncalibratedWarning, arerank, rerank
from .results import Ranked, Ranking
from .scorer import Scored, Scorer
from .truncation import TruncationWarning

if TYPE_CHECKING:
    from . import show
    from .compose import Windowed
    from .hosted import HostedScorer
    from .local import LocalScorer

__version__ = "0.1.0"

__all__ = [
    "MODELS",
    "AuthenticationError",
    "BadResponseError",
    "DeadlineExceededError",
    "HostedScorer",
    "InvalidArgumentError",
    "LocalScorer",
    "MissingExtraError",
    "MissingKeyError",
    "ModelLoadError",
    "ModelRetiredError",
    "NVRerankError",
    "PassthroughWarning",
    "Ranked",
    "Ranking",
    "RateLimitError",
    "ReciprocalRankFusion",
    "RequestRejectedError",
    "RerankModel",
    "Scored",
    "Scorer",
    "ScorerClosedError",
    "ScoringError",
    "ServiceUnavailableError",
    "TruncationWarning",
    "UncalibratedWarning",
    "Windowed",
    "ZScoreFusion",
    "arerank",
    "rerank",
    "show",
]


_ROOMS = {"HostedScorer": ".hosted", "LocalScorer": ".local", "Windowed": ".compose"}


def __getattr__(name: str) -> object:
    if name == "show":
        return import_module(".show", __name__)
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
