"""Rows of a request, checked against what the model takes, before they cost anything."""

import json
import re
import struct
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from msgspec import Meta

from service.errors import InvalidInput
from service.predictor.given_tensors import GivenTensor, read_tensors
from service.predictor.packing import packed
from service.predictor.ranges import check_range
from service.predictor.rows import Array, Rows
from service.predictor.taken import Taken
from service.repository.manifest import InputSpec

TORCH_DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "int32": torch.int32,
    "int64": torch.int64,
}


class InputReader:
    """Turns the JSON of `inputs` into tensors.

    Args:
        specs: the model's inputs, in the order of forward's arguments.

    Attributes:
        taken: what clients send.
        tensors: how many the network takes.
        ranges: of made-up rows, per input; None for the usual.
    """

    def __init__(self, specs: Sequence[InputSpec]) -> None:
        self._tensors = [TensorReader(spec) for spec in specs]
        self.taken = tuple(Taken(spec.name, spec.dtype, spec.shape) for spec in specs)
        self.tensors = len(specs)
        self.ranges = tuple(spec.range for spec in specs)

    def takes_long(self, _inputs: bytes | Sequence[GivenTensor]) -> bool:
        """Tell whether others should not wait while rows are read: numbers are quick."""
        return False

    def read(self, inputs: bytes | Sequence[GivenTensor]) -> Rows:
        """Read rows.

        Args:
            inputs: tensors; or JSON: an array of rows, or an object of such arrays by the tensors' names.

        Returns:
            At least one row; those of one shape are together.

        Raises:
            InvalidInput: not this model's inputs.
        """
        if not isinstance(inputs, bytes):
            return read_tensors([reader.spec for reader in self._tensors], inputs)
        try:
            arrays = self._split(inputs)
            read = [reader.read(rows) for reader, rows in zip(self._tensors, arrays, strict=True)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
            raise InvalidInput(f"inputs: {cause}") from cause
        counts = {reader.spec.name: len(rows) for reader, rows in zip(self._tensors, read, strict=True)}
        if len(set(counts.values())) > 1:
            raise InvalidInput(f"all inputs must have the same number of rows, and have {counts}")
        return Rows.of(read)

    @property
    def names(self) -> list[str]:
        """Of the tensors, in order."""
        return [reader.spec.name for reader in self._tensors]

    def rows_as_sent(self, inputs: bytes, numbers: Sequence[int]) -> list[bytes]:
        """Give the JSON of some rows of inputs that have been read: an object, where there are several."""
        columns = [msgspec.json.decode(rows, type=list[msgspec.Raw]) for rows in self._split(inputs)]
        if len(columns) == 1:
            return [bytes(columns[0][number]) for number in numbers]
        return [
            msgspec.json.encode({name: rows[number] for name, rows in zip(self.names, columns, strict=True)})
            for number in numbers
        ]

    def _split(self, inputs: bytes) -> list[bytes]:
        names = self.names
        if not inputs.lstrip().startswith(b"{"):
            if len(names) > 1:
                raise InvalidInput(f"inputs must be an object with the tensors {', '.join(names)}")
            return [inputs]
        given = msgspec.json.decode(inputs, type=dict[str, msgspec.Raw])
        if set(given) != set(names):
            raise InvalidInput(
                f"inputs must have the tensors {', '.join(names)}, and has {', '.join(given) or 'none'}"
            )
        return [bytes(given[name]) for name in names]


class TensorReader:
    """Turns a JSON array of rows into numbers.

    Args:
        spec: what the tensor must be.
    """

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        self._decoder = msgspec.json.Decoder(_rows_type(spec))

    def read(self, rows: bytes) -> Array | list[Array]:
        """Read rows in the dtype of the spec, all finite.

        Returns:
            [rows, *spec.shape]; or, where the spec leaves lengths open and rows differ, a list of rows.
        """
        try:
            values = self._decoder.decode(rows)
        except msgspec.ValidationError as cause:
            raise InvalidInput(self._complaint(rows, str(cause))) from cause
        try:
            return self._finite(self._array(values))
        except ValueError:  # ragged where the shape leaves the length open
            return [self._finite(self._row(row, number), number) for number, row in enumerate(values)]

    def _row(self, values: list[Any], number: int) -> Array:
        try:
            return self._array(values)
        except ValueError as cause:
            raise InvalidInput(f"{self._rows_must()}; row {number} has {_shape(values)}") from cause

    def _array(self, values: list[Any]) -> Array:
        try:
            return packed(values, self.spec.shape, self.spec.dtype)
        except (ValueError, struct.error):  # open lengths, or a number that does not fit
            return self._converted(values)

    def _converted(self, values: list[Any]) -> Array:
        try:
            with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused as such
                return np.array(values, dtype=self.spec.dtype)
        except OverflowError as cause:
            raise InvalidInput(f"{self._named}: a number does not fit {self.spec.dtype}") from cause

    def _finite(self, array: Array, number: int | None = None) -> Array:
        """Check all rows, or the row of a number."""
        check_range(self.spec, array, self._named, number)
        if not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0]) if number is None else number
            raise InvalidInput(f"{self._named}: row {row} holds a number too large for {self.spec.dtype}")
        return array

    def _complaint(self, rows: bytes, message: str) -> str:
        """Say which row is wrong, and how, from the decoder's "Expected … - at `$[3][0]`"."""
        what, _, where = message.partition(" - at `$")
        indices = re.findall(r"\[(\d+|\.\.\.)\]", where)
        if not indices:
            return f"{self._named} must be an array of at least one row"
        row = int(indices[0])
        if "length" in what or "`array`" in what:
            return f"{self._rows_must()}; row {row} has {_shape(_any_row(rows, row))}"
        return f"{self._named}: row {row}: {what[0].lower()}{what[1:]}"

    def _rows_must(self) -> str:
        shape = [size if size >= 0 else "1 or more" for size in self.spec.shape]
        return f"{self._named}: rows must have shape [{', '.join(map(str, shape))}]"

    @property
    def _named(self) -> str:
        return f"inputs {self.spec.name}"


def _rows_type(spec: InputSpec) -> Any:
    """Build the type that the JSON must have, so that checking it costs no Python per element."""
    rows: Any = float if spec.dtype.startswith("float") else int
    for size in reversed(spec.shape):
        lengths = Meta(min_length=size, max_length=size) if size >= 0 else Meta(min_length=1)
        rows = Annotated[list[rows], lengths]
    return Annotated[list[rows], Meta(min_length=1)]


def _any_row(rows: bytes, row: int) -> Any:
    """Decode one row without asking what it should be; those before it are passed over, and none is kept."""
    text = rows.decode()
    value, place = None, text.index("[") + 1
    for _ in range(row + 1):
        value, place = _ANY.raw_decode(text, _GAP.match(text, place).end())  # type: ignore[union-attr]
    return value


_GAP = re.compile(r"[\s,]*")
# Integers of any length: Python's own refuse to be very long.
_ANY = json.JSONDecoder(parse_int=float)


def _shape(value: Any) -> str:
    """Describe nested lists of unchecked JSON by their shape, as far as they have one."""
    if not isinstance(value, list):
        return f"no array but {_json_type(value)}"
    sizes = []
    while isinstance(value, list):
        sizes.append(len(value))
        if not value or len({_length(item) for item in value}) > 1:
            break
        value = value[0]
    return f"{sizes}" if not isinstance(value, list) or not value else f"{sizes} with parts of unequal length"


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else -1


def _json_type(value: Any) -> str:
    """Name a decoded value's type as JSON does."""
    names = {dict: "an object", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
