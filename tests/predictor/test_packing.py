"""Numbers packed into arrays are those that numpy makes of them."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.predictor.packing import packed

NUMBERS: dict[str, st.SearchStrategy[Any]] = {
    "float32": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "float64": st.floats(allow_nan=False, allow_infinity=False),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
}


def rows_of(shape: tuple[int, ...], numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    rows = numbers
    for size in reversed(shape):
        rows = st.lists(rows, min_size=size, max_size=size)
    return st.lists(rows, min_size=1, max_size=4)


@pytest.mark.parametrize("dtype", NUMBERS)
@given(data=st.data(), shape=st.lists(st.integers(1, 3), max_size=3).map(tuple))
def test_it_is_what_numpy_makes(dtype: str, data: st.DataObject, shape: tuple[int, ...]) -> None:
    values = data.draw(rows_of(shape, NUMBERS[dtype]))
    array = packed(values, shape, dtype)
    expected = np.array(values, dtype)
    assert array.dtype == expected.dtype
    assert array.shape == expected.shape
    assert (array == expected).all()
    assert array.flags.writeable


@pytest.mark.parametrize(("dtype", "number"), [("int32", 2**31), ("int64", -(2**63) - 1)])
def test_an_integer_that_does_not_fit_is_an_error(dtype: str, number: int) -> None:
    with pytest.raises(struct.error):
        packed([[0, number]], [2], dtype)


def test_a_float_that_does_not_fit_is_infinite() -> None:
    assert packed([[0.0, -1e39]], [2], "float32").tolist() == [[0.0, -np.inf]]


def test_open_lengths_are_not_packed() -> None:
    with pytest.raises(ValueError, match="negative"):
        packed([[1.0], [1.0, 2.0]], [-1], "float32")
