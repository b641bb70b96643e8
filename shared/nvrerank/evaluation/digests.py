"""Fingerprints of texts and folders, and labels as names of files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

_WEIGHTS = ("*.json", "*.safetensors", "*.txt", "*.model")
_LONGEST = 80


def of_text(text: str) -> str:
    """Of one text."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def of_texts(texts: Mapping[str, str]) -> str:
    """Of ids and texts, in order."""
    digest = hashlib.blake2b(digest_size=16)
    for key, text in texts.items():
        digest.update(f"{len(key)} {len(text)} {key}{text}".encode(errors="surrogatepass"))
    return digest.hexdigest()


def of_model(name: str | Path, *, below: bool = False) -> str | None:
    """Of all that a model is read from, by content.

    Args:
        name: Its folder, or its name on the hub.
        below: Whether it is read from folders below too, and from other kinds of files, as an embedding
            model is.

    Returns:
        The fingerprint; None: it is no folder but a hub name.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return None
    digest = hashlib.blake2b(digest_size=16)
    found = folder.rglob("*") if below else (path for one in _WEIGHTS for path in folder.glob(one))
    names = {path.relative_to(folder).as_posix() for path in found if path.is_file()}
    for file in sorted(one for one in names if not (below and _hidden(one))):
        with (folder / file).open("rb") as stream:
            content = hashlib.file_digest(stream, "blake2b").hexdigest()
        digest.update(f"{file}\0{content}\0".encode())
    return digest.hexdigest()


def _hidden(file: str) -> bool:
    return any(part.startswith(".") for part in file.split("/"))


def slug(label: str) -> str:
    """A label as part of a file's name."""
    safe = re.sub(r"[^\w.+-]+", "_", label).strip("_.") or "_"
    return safe if len(safe) <= _LONGEST else f"{safe[:_LONGEST]}-{of_text(label)}"
