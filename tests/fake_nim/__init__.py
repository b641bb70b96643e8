"""A small NIM on 127.0.0.1 that answers, misbehaves and keeps count."""

from .server import FakeNIM, Seen, Wire, truth
from .steps import Step

__all__ = ["FakeNIM", "Seen", "Step", "Wire", "truth"]
