"""What a model's files are known by."""

from __future__ import annotations

import hashlib
from pathlib import Path


def fingerprint_of_model(name: str | Path) -> str | None:
    """Fingerprint of all that a model can be read from, by content: every file below that is not hidden.

    Args:
        name: Its folder, or its name on the hub.

    Returns:
        The fingerprint; None: it is no folder but a hub name.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return None
    digest = hashlib.blake2b(digest_size=16)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for file in sorted(one for one in names if not one.startswith(".") and "/." not in one):
        with (folder / file).open("rb") as stream:
            content = hashlib.file_digest(stream, "blake2b").hexdigest()
        digest.update(f"{file}\0{content}\0".encode())
    return digest.hexdigest()
