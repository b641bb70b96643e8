"""A number is checked alike, whichever argument it is."""

from __future__ import annotations

import numpy as np
import pytest

from nvrerank._checks import checked_integer, checked_number


@pytest.mark.parametrize("value", [1, 3, np.int64(2)])
def test_a_whole_number_within_its_limits_comes_back_as_an_int(value):
    found = checked_integer("size", value, least=1, most=3)
    assert (found, type(found)) == (value, int)


@pytest.mark.parametrize("value", [True, 2.0, "2", None, [2]])
def test_what_is_no_whole_number_is_a_type_error(value):
    with pytest.raises(TypeError, match="size must be a whole number, not "):
        checked_integer("size", value, least=1)


def test_what_is_out_of_range_is_told_its_limits():
    with pytest.raises(ValueError, match=r"^size must be 1 or more, not 0$"):
        checked_integer("size", 0, least=1)
    with pytest.raises(ValueError, match=r"^size must be 1 to 3, not 4$"):
        checked_integer("size", 4, least=1, most=3)


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2)])
def test_a_number_within_its_limits_comes_back_as_a_float(value):
    found = checked_number("wait", value, least=0)
    assert (found, type(found)) == (2.0, float)


@pytest.mark.parametrize("value", [True, "2", None, [2]])
def test_what_is_no_number_is_a_type_error(value):
    with pytest.raises(TypeError, match="wait must be a number, not "):
        checked_number("wait", value, least=0)


@pytest.mark.parametrize(
    ("value", "said"), [(-0.5, "0 or more, not -0.5"), (float("nan"), "a number, not NaN")]
)
def test_a_number_out_of_range_is_told_its_limit(value, said):
    with pytest.raises(ValueError, match=f"^wait must be {said}$"):
        checked_number("wait", value, least=0)
