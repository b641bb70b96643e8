"""A checkpoint's config.json, read with suspicion: every value is checked before it costs memory."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvrerank.errors import ModelLoadError

LARGEST = 1 << 20
"""No size in a config.json we know is larger; one that is stands for a broken file."""


@dataclass(frozen=True)
class Config:
    """Values of a JSON object and the file they came from.

    Attributes:
        file: Named in every error.
        values: The object.
    """

    file: Path
    values: Mapping[str, Any]

    @classmethod
    def read(cls, file: Path) -> Config:
        """Reads a JSON object.

        Raises:
            ModelLoadError: The file is missing, not JSON, or not an object.
        """
        values = _json(file)
        if not isinstance(values, dict):
            raise ModelLoadError(f"{file} holds a {type(values).__name__}, not an object")
        return cls(file, values)

    @classmethod
    def read_list(cls, file: Path) -> list[Config]:
        """Reads a JSON list of objects.

        Raises:
            ModelLoadError: The file is missing, not JSON, or not such a list.
        """
        values = _json(file)
        if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
            raise ModelLoadError(f"{file} holds no list of objects")
        return [cls(file, one) for one in values]

    def size(self, name: str, default: int | None = None, *, at_most: int = LARGEST) -> int:
        """A whole number from 1 to `at_most`.

        Raises:
            ModelLoadError: It is missing without a default, or out of range.
        """
        value = self._get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= at_most:
            raise self.wrong(name, f"a whole number from 1 to {at_most}")
        return value

    def positive(self, name: str, default: float | None = None) -> float:
        """A finite number above 0.

        Raises:
            ModelLoadError: It is missing without a default, or out of range.
        """
        value = self._get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.wrong(name, "a number")
        if not (math.isfinite(value) and value > 0):
            raise self.wrong(name, "finite and above 0")
        return float(value)

    def section(self, name: str) -> Config | None:
        """An object inside the object; None where it is absent or null.

        Raises:
            ModelLoadError: It is something else.
        """
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return Config(self.file, value)

    def expect(self, name: str, *allowed: object) -> None:
        """Refuses a value that would change the computation in a way this package doesn't know.

        Raises:
            ModelLoadError: The value is there and none of those allowed.
        """
        if not self.means(name, *allowed):
            raise self.wrong(name, " or ".join(map(repr, allowed)))

    def means(self, name: str, *allowed: object) -> bool:
        """Whether a value is absent, null or one of those allowed."""
        value = self.values.get(name)
        return value is None or value in allowed

    def wrong(self, name: str, wanted: str) -> ModelLoadError:
        """The error for a value that is not what was wanted."""
        return ModelLoadError(f"{self.file}: {name} must be {wanted}, not {self.values.get(name)!r:.80}")

    def _get(self, name: str, default: float | None) -> Any:
        value = self.values.get(name)
        return default if value is None else value


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelLoadError(f"{file} is missing: is this a model's folder?") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelLoadError(f"{file} can't be read as JSON: {error}") from error
