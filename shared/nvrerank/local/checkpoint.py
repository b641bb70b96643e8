"""A folder or a hub name becomes weights, a tokenizer and a configuration.

No remote code is run and no pickle opened. Names and shapes of all tensors are compared with what
the model needs before the first one is read, so that nothing is ever left at random values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer
from torch import nn

from nvrerank.errors import ModelLoadError

from .config import Config
from .saved_tokenizer import SavedTokenizer

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_FLOATS = {"F64", "F32", "F16", "BF16"}


@dataclass(frozen=True)
class Checkpoint:
    """A model's folder, opened but not loaded.

    Attributes:
        folder: Where it lies.
        config: Its config.json.
        shapes: Shape of each tensor, by name.
        files: The file that holds each tensor, by name.
    """

    folder: Path
    config: Config
    shapes: dict[str, tuple[int, ...]]
    files: dict[str, Path]

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
            held = _header(file)
            for name in sorted(promised - held.keys()):
                raise ModelLoadError(f"{file} has no tensor {name}, which {_INDEX} promises")
            shapes.update(held)
            files.update(dict.fromkeys(held, file))
        return cls(folder, config, shapes, files)

    def tokenizer(self, rows: int) -> SavedTokenizer:
        """Loads tokenizer.json, as transformers does where tokenizer_config.json says more.

        Args:
            rows: Rows of the embedding table, which every token id must be below.

        Raises:
            ModelLoadError: The file is missing, broken, or names tokens that have no embedding.
        """
        file, settings = self.folder / "tokenizer.json", self.folder / "tokenizer_config.json"
        if not file.is_file():
            raise ModelLoadError(f"{file} is missing: save the model's fast tokenizer there")
        try:
            backend = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exception
            raise ModelLoadError(f"{file} is not a tokenizer: {error}") from error
        saved = SavedTokenizer.load(self.folder) if settings.is_file() else SavedTokenizer(backend)
        saved.fit(file, rows)
        return saved

    def fill(
        self,
        module: nn.Module,
        *,
        dtype: torch.dtype,
        device: torch.device,
        not_needed: Callable[[str], bool],
        exact: Callable[[str], bool],
    ) -> None:
        """Gives a module that was built on the meta device its weights, ready for inference.

        Args:
            module: Its state_dict names the tensors it needs and their shapes.
            dtype: What the weights are converted to.
            device: Where they go.
            not_needed: Tells the tensors that are known and not part of the module.
            exact: Tells the tensors that are converted to float32 whatever `dtype` is.

        Raises:
            ModelLoadError: A tensor is missing, has another shape, or is not known.
        """
        self._compare({name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}, not_needed)
        needed = module.state_dict().keys()
        weights = {}
        for file in sorted(set(self.files.values())):
            with safe_open(file, framework="pt") as opened:
                for name in needed & set(opened.keys()):
                    kind = torch.float32 if exact(name) else dtype
                    weights[name] = opened.get_tensor(name).to(device, kind)
        module.load_state_dict(weights, assign=True)
        module.requires_grad_(requires_grad=False).eval()

    def _compare(self, needed: dict[str, tuple[int, ...]], not_needed: Callable[[str], bool]) -> None:
        for name, shape in needed.items():
            if name not in self.shapes:
                raise ModelLoadError(f"{self._where(name)}: tensor {name} {list(shape)} is missing")
            if self.shapes[name] != shape:
                raise ModelLoadError(
                    f"{self._where(name)}: tensor {name} is {list(self.shapes[name])}, "
                    f"config.json says {list(shape)}"
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


def _weight_files(folder: Path) -> dict[Path, set[str]]:
    """Each file of weights and the tensors that the index, where there is one, promises in it."""
    index = folder / _INDEX
    if not index.is_file():
        if not (folder / _SINGLE).is_file():
            raise ModelLoadError(_no_weights(folder))
        return {folder / _SINGLE: set()}
    weight_map = Config.read(index).section("weight_map")
    promised: dict[Path, set[str]] = {}
    for name, shard in (weight_map.values if weight_map else {}).items():
        if not isinstance(shard, str) or Path(shard).name != shard:
            raise ModelLoadError(f"{index}: the file of tensor {name} must be beside it, not {shard!r:.80}")
        promised.setdefault(folder / shard, set()).add(name)
    if not promised:
        raise ModelLoadError(f"{index} names no tensors in its weight_map")
    return promised


def _no_weights(folder: Path) -> str:
    pickles = sorted(file.name for kind in ("*.bin", "*.pt", "*.pth") for file in folder.glob(kind))
    if pickles:
        return (
            f"{folder} holds weights as pickle only ({pickles[0]}), which can run code and is never opened: "
            f"convert them to {_SINGLE}"
        )
    return f"{folder} holds no {_SINGLE}: is the download complete?"


def _header(file: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 # no mapping
            odd = [name for name, one in slices.items() if one.get_dtype() not in _FLOATS | {"I64"}]
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
