"""Scorers made of scorers: each adds one thing."""

from .attempts import FallbackWarning
from .cached import Cached, CacheWarning
from .cascade import Cascade
from .fallback import Fallback
from .limited import Limited
from .windowed import Windowed

__all__ = ["CacheWarning", "Cached", "Cascade", "Fallback", "FallbackWarning", "Limited", "Windowed"]
