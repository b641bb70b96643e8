"""Arguments that are numbers, checked alike everywhere. Pure."""

from __future__ import annotations

import math
import operator
from typing import SupportsFloat, SupportsIndex


def checked_integer(name: str, value: object, *, least: int, most: int | None = None) -> int:
    """A whole number within its limits.

    Args:
        name: The argument's, for the message.
        value: An int, or what stands for one, such as numpy's; a bool does not.
        least: The smallest that is allowed.
        most: The largest; None: there is none.

    Raises:
        TypeError: It is no whole number.
        ValueError: It is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{name} must be a whole number, not {value!r:.50}")
    number = operator.index(value)
    if number < least or (most is not None and number > most):
        limits = f"{least} or more" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} must be {limits}, not {number}")
    return number


def as_float(value: object) -> float | None:
    """A number of any library as a float; None: it is none, nor are bools and strings."""
    if isinstance(value, bool | str | bytes):
        return None
    try:
        return float(value)  # type: ignore[arg-type]  # numpy and torch scalars convert too
    except (TypeError, ValueError, OverflowError):
        return None


def checked_number(name: str, value: object, *, least: float) -> float:
    """A number within its limits, as a float.

    Args:
        name: The argument's, for the message.
        value: An int, a float, or what stands for one, such as numpy's; a bool does not.
        least: The smallest that is allowed.

    Raises:
        TypeError: It is no number.
        ValueError: It is NaN or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        raise TypeError(f"{name} must be a number, not {value!r:.50}")
    number = float(value)
    if math.isnan(number):
        raise ValueError(f"{name} must be a number, not NaN")
    if number < least:
        raise ValueError(f"{name} must be {least:g} or more, not {number}")
    return number
