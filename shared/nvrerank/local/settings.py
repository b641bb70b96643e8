"""What a LocalScorer was asked to be, checked before anything is loaded: which model, where, and how."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import torch

from nvrerank._checks import checked_integer
from nvrerank.errors import ModelLoadError
from nvrerank.texts import clean_instruction
from nvrerank.windows import LongPassages, Truncate, settled

Quantize = Literal["int8"]

BUNDLED = Path(__file__).parent / "bundled" / "weights"
"""The small model that ships with the package."""

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]  # no pickle, no code
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CPU_BATCH_TOKENS = 512
_BFLOAT16_BATCH_TOKENS = 2048  # products take so little there that what comes with each batch counts
_INT8_BATCH_TOKENS = 256  # what is between the integer products has to stay in the nearest cache
_GPU_BATCH_TOKENS = 16_384
LARGEST_INT8 = 127


@dataclass(frozen=True)
class ModelSource:
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
            ModelLoadError: The hub does not give it.
        """
        if self.folder is not None:
            return self.folder
        from huggingface_hub import snapshot_download  # which tokenizers needs too

        try:
            return Path(snapshot_download(self.name, revision=self.revision, allow_patterns=_FILES))
        except Exception as error:  # the hub's errors and its HTTP client's have no common base
            at = f" at revision {self.revision}" if self.revision else ""
            raise ModelLoadError(
                f"{self.name}{at} could not be had from the Hugging Face hub: {type(error).__name__}: {error}"
            ) from error


def find_source(model: str | Path | None, revision: str | None) -> ModelSource:
    """Tells a folder from a hub name, without any I/O beyond asking whether the folder exists.

    Args:
        model: None for the bundled model, a folder, or org/name on the hub.
        revision: Branch, tag or commit; for the hub only.

    Raises:
        TypeError: `model` is neither a string nor a path.
        ValueError: A revision of a folder was asked for, or the name is neither folder nor hub name.
        ModelLoadError: The folder does not exist.
    """
    if model is not None and not isinstance(model, str | os.PathLike):
        raise TypeError(f"model must be a folder or a hub name, not {type(model).__name__}")
    folder = BUNDLED if model is None else Path(model or os.devnull).expanduser()  # "" is no folder
    if folder.is_dir():
        if revision is not None:
            raise ValueError("revision is for models of the hub: a folder has none")
        named = "nvrerank-bundled" if model is None else folder.resolve().name
        return ModelSource(model if isinstance(model, str) else named, folder)
    if not isinstance(model, str) or model.startswith((".", "/", "~")) or "\\" in model or folder.is_file():
        raise ModelLoadError(f"{model} is not a folder: give the folder that holds config.json")
    if not _HUB_NAME.fullmatch(model):
        raise ValueError(f"{model!r} is neither a folder nor a hub name of the form org/name")
    return ModelSource(model, None, revision)


@dataclass(frozen=True)
class LocalSettings:
    """Checked settings; see `LocalScorer` for what each means."""

    device: torch.device
    dtype: torch.dtype
    max_length: int | None
    long_passages: LongPassages
    batch_tokens: int
    quantize: Quantize | None
    label: int | str | None = None
    instruction: str | None = None

    @classmethod
    def checked(
        cls,
        *,
        device: str | torch.device | None,
        dtype: str | torch.dtype | None,
        max_length: int | None,
        truncate: Truncate | None,
        long_passages: LongPassages | None,
        batch_tokens: int | None,
        quantize: Quantize | None,
        label: int | str | None,
        instruction: str | None,
    ) -> LocalSettings:
        """Fills in the defaults.

        Raises:
            TypeError: A number is not a whole one, or the instruction no string.
            ValueError: A value is unknown, out of range or at odds with another, or the device is not on
                this machine.
        """
        if label is not None and (isinstance(label, bool) or not isinstance(label, int | str)):
            raise TypeError(f"label must be a number or a name, not {label!r}")
        place = _device(device)
        kind = torch.float32 if quantize and dtype is None else _dtype(dtype, place)
        quantize = _quantize(quantize, place, kind)
        usual = _usual_batch_tokens(place, kind, quantize) if batch_tokens is None else batch_tokens
        tokens = checked_integer("batch_tokens", usual, least=1)
        length = None if max_length is None else checked_integer("max_length", max_length, least=1)
        long = settled(long_passages, truncate)
        told = None if instruction is None else clean_instruction(instruction)
        return cls(place, kind, length, long, tokens, quantize, label, told)


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place).item()  # "meta" exists everywhere and holds nothing
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"device {device!r} can't be used on this machine: {error}") from error
    return place


def _dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    if dtype is None:
        natural = device.type == "cuda" or (device.type == "cpu" and multiplies_bfloat16())
        return torch.bfloat16 if natural else torch.float32
    kind = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if kind is None or kind not in _DTYPES.values():
        raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}, not {dtype!r}")
    return kind


@cache
def multiplies_bfloat16() -> bool:
    """Whether torch multiplies bfloat16 by instructions of this CPU: AVX512-BF16 or AMX."""
    able = torch.cpu.get_capabilities()
    onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    used = onednn and torch.backends.cpu.get_cpu_capability() == "AVX512"
    return used and any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _usual_batch_tokens(device: torch.device, dtype: torch.dtype, quantize: Quantize | None) -> int:
    if device.type != "cpu":
        return _GPU_BATCH_TOKENS
    if quantize:
        return _INT8_BATCH_TOKENS
    return _BFLOAT16_BATCH_TOKENS if dtype == torch.bfloat16 else _CPU_BATCH_TOKENS


def _quantize(quantize: Quantize | None, device: torch.device, dtype: torch.dtype) -> Quantize | None:
    """What is asked for, if it pays here: it warns where it does not."""
    if quantize is None:
        return None
    if quantize not in get_args(Quantize):
        raise ValueError(f"quantize must be 'int8' or None, not {quantize!r}")
    if device.type != "cpu" or dtype != torch.float32:
        raise ValueError(
            f"quantize='int8' is for float32 on a CPU, not {dtype} on {device}: leave one of them out"
        )
    if integers_pay():
        return quantize
    warnings.warn(
        "quantize='int8' is left out: this CPU has no instructions for 8-bit products (AVX-512 VNNI), so "
        "float32 is as fast and loses nothing",
        stacklevel=4,  # the line that makes the scorer
    )
    return None


@cache
def integers_pay() -> bool:
    """Whether torch multiplies 8-bit integers with instructions for them, and exactly.

    Without VNNI it takes a loop, which is 40 times slower than float32. Kernels that add pairs of products in
    16 bits have too few for the largest.
    """
    if not torch.cpu.get_capabilities().get("avx512_vnni", False):
        return False
    full = torch.full((32, 64), LARGEST_INT8, dtype=torch.int8)
    product = torch._int_mm(full, full.T.contiguous())  # noqa: SLF001  # torch has no other
    return bool((product == 64 * LARGEST_INT8**2).all())


def tokens_that_fit(free: int, hidden: int, intermediate: int, dtype: torch.dtype) -> int:
    """How many tokens a GPU's free memory has room for: half of it, so that others can be there too.

    What a layer holds for each token at once is at most eight rows of the hidden size (both residuals, query,
    key, value, their rotations, the mix) and four of the intermediate size (gate, up, product, a copy).

    Args:
        free: Bytes, once the weights are loaded.
        hidden: The hidden size.
        intermediate: The intermediate size.
        dtype: What is computed in.

    Returns:
        At least 1; a batch that still is too large is halved when memory runs out.
    """
    return max(1, free // 2 // ((8 * hidden + 4 * intermediate) * dtype.itemsize))
