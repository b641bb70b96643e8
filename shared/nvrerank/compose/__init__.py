"""Scorers made of scorers: each adds one thing."""

from .windowed import Windowed

__all__ = ["Windowed"]
