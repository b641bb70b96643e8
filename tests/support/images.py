"""Real images, made without a library."""

from __future__ import annotations

import base64
import struct
import zlib


def png(width: int = 3, height: int = 2, *, colour: int = 0) -> bytes:
    """A grey PNG; one that claims to be huge is small all the same."""
    rows = (b"\0" + bytes([colour]) * width) * height if width * height < 10**6 else b""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def jpeg(width: int = 3, height: int = 2, *, frame: int = 0xC0) -> bytes:
    """The segments of a JPEG up to its scan: what tells its size."""

    def segment(marker: int, data: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data

    size = struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0"
    table = segment(0xC4, b"\xc0" * 40)  # in whose numbers and data nobody may see a frame
    return b"\xff\xd8" + segment(0xE0, b"JFIF\0" + b"\xff\xc0" * 9) + b"\xff" + table + segment(frame, size)


def data_url(image: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(image).decode()}"
