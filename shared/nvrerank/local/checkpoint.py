"""A model's folder: its config.json and its weights, read with suspicion.

No remote code is run and no pickle opened. Every value is checked before it costs memory. Names and shapes of
all tensors are compared with what the model needs before the first one is read, so that nothing is ever left
at random values. What is wrong is a `ModelLoadError` that names the file.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from nvrerank.errors import ModelLoadError

LARGEST = 1 << 20
"""No size in a config.json we know is larger; one that is stands for a broken file."""

MOST_LAYERS = 1024

_INDEX, _SINGLE = "model.safetensors.index.json", "model.safetensors"
_FLOATS = {"F64", "F32", "F16", "BF16"}
_PACKED = {"nvrerank_two_segment": {"I8", "U8", "I32"}}  # what these may hold beside them
_YES = {"1", "positive", "relevant", "true", "yes"}
_NO = {"0", "false", "irrelevant", "negative", "no", "non_relevant", "non-relevant", "not_relevant"}


@dataclass(frozen=True)
class Config:
    """Values of a JSON object and the file they came from; whatever is not as asked is a `ModelLoadError`.

    Attributes:
        file: Named in every error.
        values: The object.
    """

    file: Path
    values: Mapping[str, Any]

    @classmethod
    def read(cls, file: Path) -> Config:
        """Reads a JSON object."""
        values = _json(file)
        if not isinstance(values, dict):
            raise ModelLoadError(f"{file} holds a {type(values).__name__}, not an object")
        return cls(file, values)

    @classmethod
    def read_list(cls, file: Path) -> list[Config]:
        """Reads a JSON list of objects."""
        values = _json(file)
        if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
            raise ModelLoadError(f"{file} holds no list of objects")
        return [cls(file, one) for one in values]

    def size(
        self, name: str, default: int | None = None, *, at_least: int = 1, at_most: int = LARGEST
    ) -> int:
        """A whole number from `at_least` to `at_most`; the default where it is absent or null."""
        value = self._get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value <= at_most:
            raise self.wrong(name, f"a whole number from {at_least} to {at_most}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number; the default where it is absent or null."""
        value = self._get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.wrong(name, "a number")
        if not math.isfinite(value):
            raise self.wrong(name, "finite")
        return float(value)

    def positive(self, name: str, default: float | None = None) -> float:
        """A finite number above 0; the default where it is absent or null."""
        if (value := self.number(name, default)) <= 0:
            raise self.wrong(name, "finite and above 0")
        return value

    def section(self, name: str) -> Config | None:
        """An object inside the object; None where it is absent or null."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return Config(self.file, value)

    def expect(self, name: str, *allowed: object) -> None:
        """Refuses a value that would change the computation in a way this package doesn't know."""
        if not self.means(name, *allowed):
            raise self.wrong(name, " or ".join(map(repr, allowed)))

    def means(self, name: str, *allowed: object) -> bool:
        """Whether a value is absent, null or one of those allowed."""
        value = self.values.get(name)
        return value is None or value in allowed

    @property
    def model_type(self) -> str:
        """The name of the architecture."""
        value = self.values.get("model_type")
        if not isinstance(value, str):
            raise ModelLoadError(f"{self.wrong('model_type', 'the name of an architecture')}{self.own_code}")
        return value

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
        """Finds it among `count` by an index or a name of config.json's id2label, or by convention.

        One label is the logit itself. Of two without names of their own, the second is "relevant", as for
        FlashRank (softmax, class 1: flashrank/Ranker.py) and NVIDIA's two-label rerankers.

        Raises:
            ModelLoadError: There is no such label, or no convention says which.
        """
        apart = config.values.get("problem_type") == "multi_label_classification"
        section = config.section("id2label")
        given = {str(place): str(name) for place, name in section.values.items()} if section else {}
        usual = [f"LABEL_{place}" for place in range(count)]
        names = [given.get(str(place), usual[place]) for place in range(count)]
        if wanted is not None:
            places = {name.casefold(): place for place, name in enumerate(names)}
            chosen = wanted if isinstance(wanted, int) else places.get(wanted.casefold(), -1)
            if not 0 <= chosen < count:
                raise ModelLoadError(
                    f"{config.file}: label {wanted!r:.80} is none of its {count} labels {names}"
                )
            return cls(count, chosen, apart)
        known = names == usual or names[-1].casefold() in _YES or names[0].casefold() in _NO
        if count == 1 or (count == 2 and known):  # noqa: PLR2004  # no, yes
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


@dataclass(frozen=True)
class Checkpoint:
    """A model's folder, opened but not loaded.

    Attributes:
        folder: Where it lies.
        config: Its config.json.
        shapes: Shape of each tensor, by name.
        files: The file that holds each tensor, by name.
        stored: What a tensor is called there, where it has another name.
    """

    folder: Path
    config: Config
    shapes: dict[str, tuple[int, ...]]
    files: dict[str, Path]
    stored: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Reads the configuration and the headers of all weight files.

        Raises:
            ModelLoadError: A file is missing, broken, or holds weights as pickle only.
        """
        config = Config.read(folder / "config.json")
        shapes: dict[str, tuple[int, ...]] = {}
        files: dict[str, Path] = {}
        for file, promised in _weight_files(folder).items():
            held = _header(file, _FLOATS | {"I64"} | _PACKED.get(str(config.values.get("model_type")), set()))
            for name in sorted(promised - held.keys()):
                raise ModelLoadError(f"{file} has no tensor {name}, which {_INDEX} promises")
            shapes.update(held)
            files.update(dict.fromkeys(held, file))
        return cls(folder, config, shapes, files)

    def part(self, config: Config, prefix: str, new: str) -> Checkpoint:
        """A model within this one: its configuration, and tensors under `prefix` called by `new` instead."""
        names = {
            name: name.replace(prefix, new, 1) if name.startswith(prefix) else name for name in self.files
        }
        return Checkpoint(
            self.folder,
            config,
            {names[name]: shape for name, shape in self.shapes.items()},
            {names[name]: file for name, file in self.files.items()},
            {now: name for name, now in names.items()},
        )

    def fill(
        self,
        module: nn.Module,
        *,
        dtype: torch.dtype,
        device: torch.device,
        exact: str,
        not_needed: Callable[[str], bool],
    ) -> None:
        """Gives a module that was built on the meta device its weights, ready for inference.

        Args:
            module: Its state_dict names the tensors it needs and their shapes.
            dtype: What the weights are converted to; whole numbers stay what they are.
            device: Where they go.
            exact: Regular expression of the tensors that are float32 whatever `dtype` is.
            not_needed: Tells the tensors that are known and not part of the module; any other is an error.
        """
        needed = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
        self._compare(needed, not_needed)
        weights = {}
        for file in sorted(set(self.files.values())):
            with safe_open(file, framework="pt") as opened:
                for name in [name for name in needed if self.files[name] == file]:
                    kind = torch.float32 if re.fullmatch(exact, name) else dtype
                    tensor = opened.get_tensor(self.stored.get(name, name))
                    weights[name] = tensor.to(device, kind if tensor.is_floating_point() else tensor.dtype)
        module.load_state_dict(weights, assign=True)
        module.requires_grad_(requires_grad=False).eval()

    def _compare(self, needed: Mapping[str, tuple[int, ...]], not_needed: Callable[[str], bool]) -> None:
        for name, shape in needed.items():
            if name not in self.shapes:
                raise ModelLoadError(f"{self._where(name)}: tensor {name} {list(shape)} is missing")
            if self.shapes[name] != shape:
                held = list(self.shapes[name])
                raise ModelLoadError(
                    f"{self._where(name)}: tensor {name} is {held}, config.json says {list(shape)}"
                )
        for name in self.shapes.keys() - needed.keys():
            if not not_needed(name):
                raise ModelLoadError(
                    f"{self._where(name)}: tensor {name} is not part of this model: "
                    "scores would be wrong without it"
                )

    def _where(self, name: str) -> Path:
        files = sorted(set(self.files.values()))
        return self.files.get(name, files[0] if len(files) == 1 else self.folder / _INDEX)


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelLoadError(f"{file} is missing: is this a model's folder?") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelLoadError(f"{file} can't be read as JSON: {error}") from error


def _weight_files(folder: Path) -> dict[Path, set[str]]:
    """Each file of weights and the tensors that the index, where there is one, promises in it."""
    index = folder / _INDEX
    if not index.is_file():
        return {_single_file(folder): set()}
    weight_map = Config.read(index).section("weight_map")
    promised: dict[Path, set[str]] = {}
    for name, shard in (weight_map.values if weight_map else {}).items():
        if not isinstance(shard, str) or Path(shard).name != shard:
            raise ModelLoadError(f"{index}: the file of tensor {name} must be beside it, not {shard!r:.80}")
        promised.setdefault(folder / shard, set()).add(name)
    if not promised:
        raise ModelLoadError(f"{index} names no tensors in its weight_map")
    return promised


def _single_file(folder: Path) -> Path:
    if (folder / _SINGLE).is_file():
        return folder / _SINGLE
    for pickled in sorted(file.name for kind in ("*.bin", "*.pt", "*.pth") for file in folder.glob(kind)):
        raise ModelLoadError(
            f"{folder} holds weights as pickle only ({pickled}), which can run code and is never opened: "
            f"convert them to {_SINGLE}"
        )
    raise ModelLoadError(f"{folder} holds no {_SINGLE}: is the download complete?")


def _header(file: Path, kinds: set[str]) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 # no mapping
            odd = [name for name, one in slices.items() if one.get_dtype() not in kinds]
            shapes = {name: tuple(one.get_shape()) for name, one in slices.items()}
    except FileNotFoundError:
        raise ModelLoadError(f"{file} is missing: is the download complete?") from None
    except (SafetensorError, OSError) as error:
        raise ModelLoadError(f"{file} is broken or cut off: {error}") from error
    if odd:
        raise ModelLoadError(
            f"{file}: tensor {odd[0]} holds no floating-point numbers: quantised weights are not read"
        )
    return shapes
