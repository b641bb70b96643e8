"""Which checkpoint a name means: a folder of this machine, or a repository of the Hugging Face hub."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from nvrerank.errors import MissingExtraError, ModelLoadError

EMBEDDED = Path(__file__).parent / "embedded"
"""The small model that ships with the package."""

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]  # no pickle, no code


@dataclass(frozen=True)
class Source:
    """Where a model comes from.

    Attributes:
        name: What people call it.
        folder: Its folder; None: it is on the hub.
        revision: Branch, tag or commit on the hub.
    """

    name: str
    folder: Path | None
    revision: str | None = None

    def fetch(self) -> Path:
        """The model's folder, downloaded at need.

        Raises:
            MissingExtraError: huggingface_hub is not installed.
            ModelLoadError: The hub does not give it.
        """
        if self.folder is not None:
            return self.folder
        try:
            from huggingface_hub import snapshot_download
        except ImportError as error:
            raise MissingExtraError(
                "a hub model needs huggingface_hub: pip install 'nvrerank[local]'"
            ) from error
        try:
            return Path(snapshot_download(self.name, revision=self.revision, allow_patterns=_FILES))
        except Exception as error:  # the hub's errors and its HTTP client's have no common base
            at = f" at revision {self.revision}" if self.revision else ""
            raise ModelLoadError(
                f"{self.name}{at} could not be had from the Hugging Face hub: {type(error).__name__}: {error}"
            ) from error


def find_source(model: str | Path | None, revision: str | None) -> Source:
    """Tells a folder from a hub name, without any I/O beyond asking whether the folder exists.

    Args:
        model: None for the embedded model, a folder, or org/name on the hub.
        revision: Branch, tag or commit; for the hub only.

    Raises:
        TypeError: `model` is neither a string nor a path.
        ValueError: A revision of a folder was asked for, or the name is neither folder nor hub name.
        ModelLoadError: The folder does not exist.
    """
    if model is not None and not isinstance(model, str | os.PathLike):
        raise TypeError(f"model must be a folder or a hub name, not {type(model).__name__}")
    source = _find(model, revision)
    if source.folder is not None and revision is not None:
        raise ValueError("revision is for models of the hub: a folder has none")
    return source


def _find(model: str | os.PathLike[str] | None, revision: str | None) -> Source:
    if model is None:
        return Source("nvrerank-embedded", EMBEDDED)
    folder = Path(model or os.devnull).expanduser()  # Path("") would be the working directory
    if folder.is_dir():
        return Source(folder.resolve().name if not isinstance(model, str) else model, folder)
    if not isinstance(model, str) or model.startswith((".", "/", "~")) or "\\" in model or folder.is_file():
        raise ModelLoadError(f"{model} is not a folder: give the folder that holds config.json")
    if not _HUB_NAME.fullmatch(model):
        raise ValueError(f"{model!r} is neither a folder nor a hub name of the form org/name")
    return Source(model, None, revision)
