"""A cross-encoder on this machine. The only room that imports torch and transformers."""

from __future__ import annotations

import os

from nvrerank.errors import MissingExtraError

# OpenMP's threads spin while they wait for each other, which on a busy machine costs several times the work
# itself. It is read when torch is first imported; who sets it otherwise, or imports torch before, decides.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

try:
    import safetensors as _safetensors  # noqa: F401
    import tokenizers as _tokenizers  # noqa: F401
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise MissingExtraError(f"local scoring needs {error.name}: pip install 'nvrerank[local]'") from error

from .scorer import LocalScorer

__all__ = ["LocalScorer"]
