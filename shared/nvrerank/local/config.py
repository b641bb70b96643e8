"""A checkpoint's config.json, read with suspicion: every value is checked before it costs memory.

Of a classifier's labels, which of them means relevant.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nvrerank.errors import ModelLoadError

LARGEST = 1 << 20
"""No size in a config.json we know is larger; one that is stands for a broken file."""

_YES = {"1", "positive", "relevant", "true", "yes"}
_NO = {"0", "false", "irrelevant", "negative", "no", "non_relevant", "non-relevant", "not_relevant"}


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

    @property
    def own_code(self) -> str:
        """What an error adds for a model whose class is in its folder; "" for every other one."""
        named = self.values.get("auto_map") is not None
        return "; auto_map names code of the folder's own, which is never run" if named else ""

    def wrong(self, name: str, wanted: str) -> ModelLoadError:
        """The error for a value that is not what was wanted."""
        return ModelLoadError(f"{self.file}: {name} must be {wanted}, not {self.values.get(name)!r:.80}")

    def _get(self, name: str, default: float | None) -> Any:
        value = self.values.get(name)
        return default if value is None else value


@dataclass(frozen=True)
class Labels:
    """The label whose logit is the score.

    Attributes:
        count: How many labels the head has.
        chosen: The one that means relevant.
        apart: Whether each label is a question of its own (problem_type multi_label_classification).
    """

    count: int
    chosen: int
    apart: bool = False

    @classmethod
    def find(cls, config: Config, count: int, wanted: int | str | None) -> Labels:
        """Finds it by what was asked for, or by convention.

        One label is the logit itself. Of two without names of their own, the second is "relevant", as for
        FlashRank (softmax, class 1: flashrank/Ranker.py) and NVIDIA's two-label rerankers.

        Args:
            config: config.json, whose id2label names them.
            count: How many the head has.
            wanted: An index or a name; None: by convention.

        Raises:
            ModelLoadError: There is no such label, or no convention says which.
        """
        apart = config.values.get("problem_type") == "multi_label_classification"
        names = _names(config, count)
        if wanted is not None:
            places = {name.casefold(): place for place, name in enumerate(names)}
            chosen = wanted if isinstance(wanted, int) else places.get(wanted.casefold(), -1)
            if not 0 <= chosen < count:
                raise ModelLoadError(
                    f"{config.file}: label {wanted!r:.80} is none of its {count} labels {names}"
                )
            return cls(count, chosen, apart)
        usual = names == [f"LABEL_{place}" for place in range(count)] or (
            names[-1].casefold() in _YES or names[0].casefold() in _NO
        )
        if count == 1 or (count == 2 and usual):  # noqa: PLR2004  # no, yes
            return cls(count, count - 1, apart)
        raise ModelLoadError(
            f"{config.file}: {count} labels {names}: a classifier, not a reranker, unless "
            "LocalScorer(label=...) says which label means relevant"
        )

    def logit(self, labels: Tensor) -> Tensor:
        """The log-odds of the chosen label among all: [pairs, labels] to [pairs].

        Its sigmoid is the softmax's probability; of two labels it is their difference.
        """
        own = labels[:, self.chosen]
        if self.count == 1 or self.apart:
            return own
        others = torch.cat((labels[:, : self.chosen], labels[:, self.chosen + 1 :]), dim=1)
        return own - others.logsumexp(1)


def _names(config: Config, count: int) -> list[str]:
    section = config.section("id2label")
    given = {str(place): str(name) for place, name in section.values.items()} if section else {}
    return [given.get(str(place), f"LABEL_{place}") for place in range(count)]


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelLoadError(f"{file} is missing: is this a model's folder?") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelLoadError(f"{file} can't be read as JSON: {error}") from error
