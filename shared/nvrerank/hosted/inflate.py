"""A reply's body, put together from chunks and never longer than it may be. Pure."""

from __future__ import annotations

import zlib

MOST = 8 * 1024 * 1024
"""Bytes of a reply, decoded."""

_ERROR = 64 * 1024  # of a reply that is not 200: enough for its reason
_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class GarbledError(Exception):
    """The body is too long or can't be decoded."""


class Body:
    """Collects a body, decoding gzip and deflate without ever holding more than the limit.

    Args:
        encoding: The Content-Encoding header's value.
        ok: Whether the reply's status is 200; of others only the beginning is kept.

    Raises:
        GarbledError: The encoding is another.
    """

    def __init__(self, encoding: str, *, ok: bool) -> None:
        name = encoding.strip().lower() or "identity"
        known = name == "identity" or name in _WINDOW
        if ok and not known:
            raise GarbledError("is in a Content-Encoding that was not asked for")
        self._decoder = zlib.decompressobj(_WINDOW[name]) if name in _WINDOW else None
        self._ok = ok
        self._left = MOST if ok else _ERROR * known
        self._parts: list[bytes] = []

    def add(self, chunk: bytes) -> bool:
        """Takes the next chunk off the wire.

        Returns:
            Whether more is wanted.

        Raises:
            GarbledError: The body is too long or not what it says.
        """
        part = self._decoded(chunk)
        if len(part) > self._left and self._ok:
            raise GarbledError(f"is longer than {MOST} bytes")
        self._parts.append(part[: self._left])
        self._left -= len(self._parts[-1])
        return self._ok or self._left > 0

    def finish(self) -> bytes:
        """The whole body.

        Raises:
            GarbledError: The compressed data stop half way.
        """
        if self._ok and self._decoder and self._parts and not self._decoder.eof:
            raise GarbledError("is compressed and stops half way")
        return b"".join(self._parts)

    def _decoded(self, chunk: bytes) -> bytes:
        if self._decoder is None:
            return chunk
        try:
            return self._decoder.decompress(chunk, self._left + 1)
        except zlib.error:
            if self._ok:
                raise GarbledError("is not compressed as it says") from None
            return b""
