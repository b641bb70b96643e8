"""How LlamaIndex's official class reads a base_url. Pure."""

from __future__ import annotations

import re

_COMPLETE = re.compile(r"/(v\d+|ranking|reranking|rerank)$")
_PREFIXED = re.compile(r"https?://[^/]+/.+")


def with_endpoint(base_url: str) -> str:
    """A proxy's prefix with the endpoint: https://proxy/nim is https://proxy/nim/ranking.

    Whatever ends in a version or an endpoint stays as it is; so does what is no such URL, and a server's
    root, under which a NIM has nothing.
    """
    trimmed = base_url.strip().rstrip("/")
    if _PREFIXED.fullmatch(trimmed) and not _COMPLETE.search(trimmed):
        return f"{trimmed}/ranking"
    return base_url
