"""Nested lists of numbers as arrays."""

import struct
from collections.abc import Iterable, Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray


def packed(values: Sequence[Any], shape: Sequence[int], dtype: str) -> NDArray[Any]:
    """Turn rows into an array, [rows, *shape].

    numpy asks of each number what it is; to pack numbers that are known to be alike takes a fifth of the time
    (784 floats: 8 µs for 48, 2026-11).

    Args:
        values: rows of this shape, whose numbers are all floats, or all integers, as the dtype.
        shape: of a row.
        dtype: of the array: float32, float64, int32 or int64.

    Returns:
        The numbers; a float too large for the dtype is infinite.

    Raises:
        struct.error: an integer does not fit the dtype.
    """
    numbers: Iterable[Any] = values
    for _ in shape:
        numbers = chain.from_iterable(numbers)
    count = len(values) * prod(shape)
    held = np.empty((len(values), *shape), dtype)
    struct.pack_into(f"{count}{held.dtype.char}", held.data, 0, *numbers)
    return held
