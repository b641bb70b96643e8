"""What a LocalScorer was asked to be, checked before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from nvrerank.windows import LongPassages, settled

Truncate = Literal["END", "NONE"]
Quantize = Literal["int8"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CPU_BATCH_TOKENS = 512
_INT8_BATCH_TOKENS = 256  # what is between the integer products has to stay in the nearest cache
_GPU_BATCH_TOKENS = 16_384


@dataclass(frozen=True)
class Settings:
    """Checked settings; see `LocalScorer` for what each means."""

    device: torch.device
    dtype: torch.dtype
    max_length: int | None
    long_passages: LongPassages
    batch_tokens: int
    quantize: Quantize | None
    label: int | str | None = None

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
        label: int | str | None = None,
    ) -> Settings:
        """Fills in the defaults.

        Raises:
            TypeError: A number is not a whole one.
            ValueError: A value is unknown, out of range or at odds with another, or the device is not on
                this machine.
        """
        if truncate is not None and truncate not in get_args(Truncate):
            raise ValueError(f"truncate must be 'END', 'NONE' or None, not {truncate!r}")
        _check_label(label)
        place = _device(device)
        kind = _dtype(dtype, place)
        _check_quantize(quantize, place, kind)
        return cls(
            device=place,
            dtype=kind,
            max_length=None if max_length is None else _count("max_length", max_length),
            long_passages=settled(long_passages, truncate),
            batch_tokens=_batch_tokens(batch_tokens, place, quantize),
            quantize=quantize,
            label=label,
        )


def _check_label(label: object) -> None:
    if label is not None and (isinstance(label, bool) or not isinstance(label, int | str)):
        raise TypeError(f"label must be a number or a name, not {label!r}")


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
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    kind = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if kind is None or kind not in _DTYPES.values():
        raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}, not {dtype!r}")
    return kind


def _check_quantize(quantize: object, device: torch.device, dtype: torch.dtype) -> None:
    if quantize is None:
        return
    if quantize not in get_args(Quantize):
        raise ValueError(f"quantize must be 'int8' or None, not {quantize!r}")
    if device.type != "cpu" or dtype != torch.float32:
        raise ValueError(
            f"quantize='int8' is for float32 on a CPU, not {dtype} on {device}: leave one of them out"
        )


def _batch_tokens(wanted: int | None, device: torch.device, quantize: Quantize | None) -> int:
    if wanted is not None:
        return _count("batch_tokens", wanted)
    if quantize == "int8":
        return _INT8_BATCH_TOKENS
    return _CPU_BATCH_TOKENS if device.type == "cpu" else _GPU_BATCH_TOKENS


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


def _count(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, not {value}")
    return value
