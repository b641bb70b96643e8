"""Passages that are an image, or have one: PNG or JPEG, known by their first bytes. Nothing is decoded."""

from __future__ import annotations

import base64
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from .texts import encodable, is_blank

MOST_BYTES = 20 * 1024 * 1024
"""Of an image's file."""

MOST_PIXELS = 100_000_000
"""What is larger takes more than 300 MB wherever it is decoded."""

ImageSource = bytes | str | os.PathLike[str]

_KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's markers that a frame's size follows
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # its markers without a segment
_END, _SCAN = 0xD9, 0xDA


class Passage(str):
    """A passage with an image: whoever takes passages takes it beside plain strings.

    It is a str, the text, so that what reads texts alone need not know of it; but one with an image equals
    only one with the same text and the same image. A scorer that does not say `reads_images` is never asked
    about it. A blank text beside an image is as good as none; with neither it is blank.

    Args:
        text: What is beside the image; None: it is an image alone.
        image: A PNG or JPEG: its bytes, its file's path, or a data URL in base64. None: it is a text alone.
        fetch_images: Whether `image` may also be a URL, which is fetched now: https only, from a public
            address, without redirects, in at most 10 seconds.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The image can't be read, is neither PNG nor JPEG, is broken or too large, or is a URL.
        ServiceUnavailableError: The URL's host does not answer.
    """

    __slots__ = ("_image",)
    _image: bytes | None

    def __new__(
        cls,
        text: str | None = None,
        image: ImageSource | None = None,
        *,
        fetch_images: bool = False,
    ) -> Self:
        """Reads and checks the image."""
        if text is not None and not isinstance(text, str):
            raise TypeError(f"text must be a str or None, not {type(text).__name__}")
        data = getattr(text, "image", None) if image is None else _checked(_read(image, fetch=fetch_images))
        words = "" if text is None or (data and is_blank(str(text))) else encodable(str(text))
        passage = super().__new__(cls, words)
        passage._image = data
        return passage

    @property
    def text(self) -> str | None:
        """The text; None: there is none."""
        return str(self) or None

    @property
    def image(self) -> bytes | None:
        """The image's file; None: there is none."""
        return self._image

    @property
    def image_url(self) -> str | None:
        """The image as a data URL, of the type that its bytes say; None: there is none."""
        if self._image is None:
            return None
        return f"data:{kind_of(self._image)};base64,{base64.b64encode(self._image).decode()}"

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True and self._image == getattr(other, "image", None)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return str.__hash__(self) if self._image is None else hash((str(self), self._image))

    def __repr__(self) -> str:
        image = f", image=<{kind_of(self._image)}, {len(self._image)} bytes>" if self._image else ""
        return f"{type(self).__name__}({self.text!r}{image})"

    def __reduce__(self) -> tuple[type[Self], tuple[str | None, bytes | None]]:
        return type(self), (self.text, self._image)


def has_image(passage: str) -> bool:
    """Whether it is a `Passage` with an image."""
    return isinstance(passage, Passage) and passage.image is not None


def caption_of(passage: str) -> str:
    """What a person reads in a passage's place: its text, "(image)" for an image without one."""
    return "(image)" if has_image(passage) and not passage else passage


def kind_of(data: bytes) -> str | None:
    """What an image is by its first bytes, "image/png" or "image/jpeg"; None: something else."""
    return next((kind for beginning, kind in _KINDS.items() if data.startswith(beginning)), None)


def from_base64(text: str) -> bytes:
    """What base64 stands for.

    Raises:
        ValueError: It is none, or too much.
    """
    if len(text) > MOST_BYTES * 3 // 2:
        raise ValueError(f"the image is larger than {MOST_BYTES} bytes: scale it down")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise ValueError("the image is no base64") from None


def is_data_url(text: str) -> bool:
    """Whether it is a data URL in base64, whatever it holds."""
    return _DATA_URL.match(text) is not None


def is_url(text: str) -> bool:
    """Whether it names something on another machine."""
    return _URL.match(text) is not None


def _read(image: object, *, fetch: bool) -> bytes:
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if not isinstance(image, str | os.PathLike):
        raise TypeError(f"image must be bytes, a path or a data URL, not {type(image).__name__}")
    if isinstance(image, str) and image[:5].lower() == "data:":
        if not is_data_url(image):
            raise ValueError("the image's data URL must be in base64: data:image/png;base64,...")
        return from_base64(image[image.index(",") + 1 :])
    if isinstance(image, str) and is_url(image):
        if not fetch:
            raise ValueError("the image is a URL, which is fetched only with fetch_images=True")
        from .image_fetching import fetch_image  # who asks for no URL needs none of it

        return fetch_image(image, MOST_BYTES)
    return _file(os.fspath(image))


def _file(name: str) -> bytes:
    try:
        path = Path(name).expanduser()
        if path.exists() and not path.is_file():
            raise ValueError(f"the image {name!r:.200} is no file")
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"the image {name!r:.200} can't be read: {error.strerror}") from error


def _checked(data: bytes) -> bytes:
    """An image that may be sent: of a kind, whole as far as its size, and not too large."""
    kind = kind_of(data)
    if kind is None:
        raise ValueError("the image is neither PNG nor JPEG by its first bytes: convert it")
    if len(data) > MOST_BYTES:
        raise ValueError(f"the image is larger than {MOST_BYTES} bytes: scale it down")
    try:
        width, height = _png_size(data) if kind == "image/png" else _jpeg_size(data)
    except (struct.error, StopIteration):
        width = height = 0
    if not (width and height):
        raise ValueError("the image is broken: its header does not tell its size")
    if width * height > MOST_PIXELS:
        raise ValueError(f"the image has {width} x {height} pixels, more than {MOST_PIXELS}: scale it down")
    return data


def _png_size(data: bytes) -> tuple[int, int]:
    """From the first chunk (PNG specification, 11.2.2)."""
    length, name, width, height = struct.unpack_from(">I4sII", data, 8)
    return (width, height) if (length, name) == (13, b"IHDR") else (0, 0)  # its length is always that


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """From the header of its frame (ITU-T T.81, B.2.2)."""
    height, width = next(
        struct.unpack_from(">HH", data, place + 5) for marker, place in _segments(data) if marker in _FRAMES
    )
    return width, height


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Each segment of a JPEG before its first scan: marker, and where it stands."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:  # noqa: PLR2004
        marker = data[place + 1]
        if marker in (_SCAN, _END):
            return
        if marker == 0xFF:  # noqa: PLR2004 (before a marker it fills)
            place += 1
        elif marker in _ALONE:
            place += 2
        else:
            yield marker, place
            place += 2 + max(2, int.from_bytes(data[place + 2 : place + 4], "big"))
