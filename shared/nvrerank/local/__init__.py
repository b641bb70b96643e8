"""A cross-encoder on this machine. The only room that imports torch and transformers."""

from __future__ import annotations

from nvrerank.errors import MissingExtraError

try:
    import safetensors as _safetensors  # noqa: F401
    import tokenizers as _tokenizers  # noqa: F401
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise MissingExtraError(f"local scoring needs {error.name}: pip install 'nvrerank[local]'") from error

from .scorer import LocalScorer

__all__ = ["LocalScorer"]
