"""Reranking with NVIDIA's models: one scoring core for LangChain, LlamaIndex and plain Python.

Importing this package loads neither a framework nor torch nor an HTTP client; a scorer's room is
opened when its name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import (
    AuthenticationError,
    BadResponseError,
    DeadlineExceededError,
    MissingExtraError,
    MissingKeyError,
    ModelLoadError,
    ModelRetiredError,
    NVRerankError,
    RateLimitError,
    RequestRejectedError,
    ServiceUnavailableError,
)
from .models import MODELS, RerankModel
from .ranking import PassthroughWarning, Ranked, arerank, rerank
from .scorer import Scorer

if TYPE_CHECKING:
    from .hosted import HostedScorer
    from .local import LocalScorer

__version__ = "0.1.0"

__all__ = [
    "MODELS",
    "AuthenticationError",
    "BadResponseError",
    "DeadlineExceededError",
    "HostedScorer",
    "LocalScorer",
    "MissingExtraError",
    "MissingKeyError",
    "ModelLoadError",
    "ModelRetiredError",
    "NVRerankError",
    "PassthroughWarning",
    "Ranked",
    "RateLimitError",
    "RequestRejectedError",
    "RerankModel",
    "Scorer",
    "ServiceUnavailableError",
    "arerank",
    "rerank",
]


def __getattr__(name: str) -> object:
    if name == "HostedScorer":
        from .hosted import HostedScorer

        return HostedScorer
    if name == "LocalScorer":
        from .local import LocalScorer

        return LocalScorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
