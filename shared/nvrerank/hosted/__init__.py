"""Scoring with a ranking API over HTTP."""

from .protocols import Usage
from .scorer import HostedScorer

__all__ = ["HostedScorer", "Usage"]
