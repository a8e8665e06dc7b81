"""Tensors as the Open Inference Protocol gives them, checked against what a model takes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import msgspec
import numpy as np

from service.errors import InvalidInput
from service.predictor.ranges import check_range
from service.predictor.rows import Array, Rows
from service.repository.manifest import InputSpec

DATATYPES = {"float32": "FP32", "float64": "FP64", "int32": "INT32", "int64": "INT64", "string": "BYTES"}
"""A manifest's dtypes, and texts, as the protocol names them."""

_LITTLE_ENDIAN = {"float32": "<f4", "float64": "<f8", "int32": "<i4", "int64": "<i8"}


@dataclass(frozen=True)
class GivenTensor:
    """One input of a request.

    Args:
        name: of the input.
        datatype: such as FP32.
        shape: rows first.
        data: JSON, flat or nested; or the elements themselves, little-endian, row by row.
        binary: whether it is the latter.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes
    binary: bool


def read_tensors(specs: Sequence[InputSpec], given: Sequence[GivenTensor]) -> Rows:
    """Read rows.

    Raises:
        InvalidInput: not this model's inputs.
    """
    by_name = _by_name(specs, given)
    arrays = [_read(spec, by_name[spec.name]) for spec in specs]
    counts = {spec.name: len(array) for spec, array in zip(specs, arrays, strict=True)}
    if len(set(counts.values())) > 1:
        raise InvalidInput(f"all inputs must have the same number of rows, and have {counts}")
    return Rows.of(arrays)


def _by_name(specs: Sequence[InputSpec], given: Sequence[GivenTensor]) -> Mapping[str, GivenTensor]:
    expected, names = {spec.name for spec in specs}, Counter(tensor.name for tensor in given)
    if set(names) != expected or len(names) < len(given):
        needed, has = (", ".join(one.name for one in some) or "none" for some in (specs, given))
        raise InvalidInput(f"inputs must be {needed}, each once, and are {has}")
    return {tensor.name: tensor for tensor in given}


def _read(spec: InputSpec, given: GivenTensor) -> Array:
    named, datatype = f"input {spec.name}", DATATYPES[spec.dtype]
    if given.datatype != datatype:
        raise InvalidInput(f"{named} must have datatype {datatype}, and has {given.datatype}")
    if not _fits(spec.shape, given.shape):
        rows = ["rows", *("any" if size < 0 else str(size) for size in spec.shape)]
        raise InvalidInput(
            f"{named} must have shape [{', '.join(rows)}], none of it 0, and has {list(given.shape)}"
        )
    array = _binary(spec, given, named) if given.binary else _json(spec, given, named)
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise InvalidInput(f"{named}: row {row} holds NaN, infinity, or a number too large for {datatype}")
    check_range(spec, array, named)
    return array


def _fits(expected: Sequence[int], given: Sequence[int]) -> bool:
    if len(given) != 1 + len(expected) or min(given) < 1:
        return False
    return all(size in (-1, other) for size, other in zip(expected, given[1:], strict=True))


def _binary(spec: InputSpec, given: GivenTensor, named: str) -> Array:
    dtype = np.dtype(_LITTLE_ENDIAN[spec.dtype])
    needed = prod(given.shape) * dtype.itemsize
    if len(given.data) != needed:
        raise InvalidInput(
            f"{named} of shape {list(given.shape)} takes {needed} bytes, and {len(given.data)} were sent"
        )
    # A copy: torch wants memory that it may write to.
    return np.frombuffer(given.data, dtype).reshape(given.shape).astype(spec.dtype)


def _json(spec: InputSpec, given: GivenTensor, named: str) -> Array:
    needed = prod(given.shape)
    try:
        with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused as such
            array = np.array(_numbers(spec, given), dtype=spec.dtype)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as cause:
        raise InvalidInput(f"{named}: data must be {needed} numbers that fit {given.datatype}") from cause
    # Flat or nested as the shape says: the same numbers nested in another way are another tensor.
    if array.shape not in ((needed,), given.shape):
        raise InvalidInput(
            f"{named} of shape {list(given.shape)} takes {needed} numbers, flat or nested so, and data has "
            f"shape {list(array.shape)}"
        )
    return array.reshape(given.shape)


def _numbers(spec: InputSpec, given: GivenTensor) -> Any:
    """Decode numbers in one flat array, or nested as the shape says."""
    flat: Any = list[float] if spec.dtype.startswith("float") else list[int]
    try:
        return msgspec.json.decode(given.data, type=flat)
    except msgspec.ValidationError:
        for _ in given.shape[1:]:
            flat = list[flat]
        return msgspec.json.decode(given.data, type=flat)
