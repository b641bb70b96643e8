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
from .images import Passage
from .models import MODELS, RerankModel
from .ranking import PassthroughWarning, UncalibratedWarning, arerank, rerank
from .results import Ranked, Ranking
from .scorer import Scored, Scorer, ScoreSource
from .truncation import TruncationWarning

if TYPE_CHECKING:
    from . import show
    from .compose import Cached, CacheWarning, Cascade, Fallback, FallbackWarning, Limited, Windowed
    from .hosted import HostedScorer
    from .local import LocalScorer
    from .scorer_specs import scorer_of

__version__ = "0.1.0"

__all__ = [
    "MODELS",
    "AuthenticationError",
    "BadResponseError",
    "CacheWarning",
    "Cached",
    "Cascade",
    "DeadlineExceededError",
    "Fallback",
    "FallbackWarning",
    "HostedScorer",
    "InvalidArgumentError",
    "Limited",
    "LocalScorer",
    "MissingExtraError",
    "MissingKeyError",
    "ModelLoadError",
    "ModelRetiredError",
    "NVRerankError",
    "Passage",
    "PassthroughWarning",
    "Ranked",
    "Ranking",
    "RateLimitError",
    "ReciprocalRankFusion",
    "RequestRejectedError",
    "RerankModel",
    "ScoreSource",
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
    "scorer_of",
    "show",
]


_COMPOSE = ("CacheWarning", "Cached", "Cascade", "Fallback", "FallbackWarning", "Limited", "Windowed")
_ROOMS = {
    **dict.fromkeys(_COMPOSE, ".compose"),
    "HostedScorer": ".hosted",
    "LocalScorer": ".local",
    "scorer_of": ".scorer_specs",
}


def __getattr__(name: str) -> object:
    if name == "show":
        return import_module(".show", __name__)
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
