"""What a LocalScorer was asked to be, checked before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch

Truncate = Literal["END", "NONE"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CPU_BATCH_TOKENS = 1024
_GPU_BATCH_TOKENS = 16_384


@dataclass(frozen=True)
class Settings:
    """Checked settings; see `LocalScorer` for what each means."""

    device: torch.device
    dtype: torch.dtype
    max_length: int | None
    truncate: Truncate
    batch_tokens: int

    @classmethod
    def checked(
        cls,
        *,
        device: str | torch.device | None,
        dtype: str | torch.dtype | None,
        max_length: int | None,
        truncate: Truncate,
        batch_tokens: int | None,
    ) -> Settings:
        """Fills in the defaults.

        Raises:
            TypeError: A number is not a whole one.
            ValueError: A value is unknown or out of range, or the device is not on this machine.
        """
        if truncate not in get_args(Truncate):
            raise ValueError(f"truncate must be 'END' or 'NONE', not {truncate!r}")
        place = _device(device)
        return cls(
            device=place,
            dtype=_dtype(dtype, place),
            max_length=None if max_length is None else _count("max_length", max_length),
            truncate=truncate,
            batch_tokens=_batch_tokens(batch_tokens, place),
        )


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


def _batch_tokens(wanted: int | None, device: torch.device) -> int:
    if wanted is not None:
        return _count("batch_tokens", wanted)
    return _CPU_BATCH_TOKENS if device.type == "cpu" else _GPU_BATCH_TOKENS


def _count(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, not {value}")
    return value
