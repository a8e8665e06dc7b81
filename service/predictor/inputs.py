"""Rows of a request, checked against what the model takes, before they cost anything."""

import json
import re
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from msgspec import Meta

from service.errors import InvalidInput
from service.json_names import doubled_name
from service.predictor.column_names import listed, mismatch, quoted
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
        columns: names of the numbers of a row, by the name of their input, where they have some.

    Attributes:
        taken: what clients send.
        tensors: how many the network takes.
        ranges: of made-up rows, per input; None for the usual.
    """

    def __init__(
        self, specs: Sequence[InputSpec], columns: Mapping[str, Sequence[str]] = MappingProxyType({})
    ) -> None:
        self._tensors = [TensorReader(spec, columns.get(spec.name, ())) for spec in specs]
        self.taken = tuple(Taken(spec.name, spec.dtype, spec.shape) for spec in specs)
        self.tensors = len(specs)
        self.ranges = tuple(spec.range for spec in specs)

    def takes_long(self, inputs: bytes | Sequence[GivenTensor]) -> bool:
        """Tell whether others should not wait while rows are read: arrays are quick, many names are not."""
        return isinstance(inputs, bytes) and len(inputs) > _LONG_BYTES and bool(_NAMED_ROWS.match(inputs))

    def read(self, inputs: bytes | Sequence[GivenTensor]) -> Rows:
        """Read rows.

        Args:
            inputs: tensors; or JSON: an array of rows, or an object of such arrays by the tensors' names.
                A row is an array, or an object of its numbers by their names.

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
        given = parts_by_name(inputs)
        if set(given) != set(names):
            raise InvalidInput(
                f"inputs must have the tensors {', '.join(names)}, and has {', '.join(given) or 'none'}"
                + self._hint(given)
            )
        return [bytes(given[name]) for name in names]

    def _hint(self, given: Mapping[str, Any]) -> str:
        """Tell who sends one row by name, and not within an array."""
        alone = len(self._tensors) == 1 and not set(self._tensors[0].columns).isdisjoint(given)
        return "; a row by the names of its columns stands in an array: [{…}]" if alone else ""


class TensorReader:
    """Turns a JSON array of rows into numbers.

    Args:
        spec: what the tensor must be.
        columns: names of the numbers of a row; none where they have no names.
    """

    def __init__(self, spec: InputSpec, columns: Sequence[str] = ()) -> None:
        self.spec = spec
        self.columns = tuple(columns)
        self._expected = frozenset(columns)
        self._decoder = msgspec.json.Decoder(_rows_type(spec))
        number: Any = float if spec.dtype.startswith("float") else int
        self._by_name = msgspec.json.Decoder(list[dict[str, number]])

    def read(self, rows: bytes) -> Array | list[Array]:
        """Read rows in the dtype of the spec, all finite.

        Returns:
            [rows, *spec.shape]; or, where the spec leaves lengths open and rows differ, a list of rows.
        """
        try:
            values = self._decoder.decode(rows)
        except msgspec.ValidationError as cause:
            by_name = _ROW_IS_OBJECT.search(str(cause))
            if by_name is None:
                raise InvalidInput(self._complaint(rows, str(cause))) from cause
            if not self.columns:
                row = f"row {by_name['row']} is an object"
                raise InvalidInput(f"{self._rows_must()}; {row}, {self._unnamed()}") from cause
            alike = self._named_alike(rows)
            if alike is None:
                return self.read(self._in_order(rows))
            values = alike
        try:
            return self._finite(self._array(values))
        except ValueError:  # ragged where the shape leaves the length open
            return [self._finite(self._row(row, number), number) for number, row in enumerate(values)]

    def _named_alike(self, rows: bytes) -> list[Any] | None:
        """Read rows that are all objects of numbers with the right names; None where more is to be looked at.

        A fifth of the time of looking at each name. As many colons as names: none stands there twice.
        """
        try:
            read = self._by_name.decode(rows)
        except msgspec.ValidationError:
            return None
        if rows.count(b":") != len(read) * len(self.columns):
            return None
        if any(row.keys() != self._expected for row in read):
            return None
        return [[row[name] for name in self.columns] for row in read]

    def _in_order(self, rows: bytes) -> bytes:
        """Write rows by name as the arrays that they stand for; the numbers stay as they were written."""
        read = _read_by_name(rows, self._named)
        return msgspec.json.encode(
            [self._ordered(row, number) if isinstance(row, dict) else row for number, row in enumerate(read)]
        )

    def _ordered(self, row: Mapping[str, Any], number: int) -> list[Any]:
        if row.keys() == self._expected and not isinstance(row, _Doubled):
            return [row[name] for name in self.columns]
        present = row.names if isinstance(row, _Doubled) else list(row)
        raise InvalidInput(
            f"{self._named}: row {number} {mismatch(self.columns, present)}. The model's columns are "
            f"{listed(self.columns)}; each must stand in every row once, in any order"
        )

    def _unnamed(self) -> str:
        if len(self.spec.shape) != 1 or self.spec.shape[0] < 0:
            return "and columns can have names where a row is a fixed number of numbers alone"
        return (
            f"and the model's columns have no names: send an array, or name them in model.toml, as [columns] "
            f'{self.spec.name} = ["…", "…"]'
        )

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
        column = ""
        if self.columns and len(indices) == 2 and indices[1] != "...":
            column = f", column {quoted(self.columns[int(indices[1])])}"
        return f"{self._named}: row {row}{column}: {what[0].lower()}{what[1:]}"

    def _rows_must(self) -> str:
        shape = [size if size >= 0 else "1 or more" for size in self.spec.shape]
        return f"{self._named}: rows must have shape [{', '.join(map(str, shape))}]"

    @property
    def _named(self) -> str:
        return f"inputs {self.spec.name}"


_NAMED_ROWS = re.compile(rb"\s*\[\s*\{")
_LONG_BYTES = 2**18  # about 1 ms of rows by name, 5 where one of them is wrong (one core, 2026-11)

# What the decoder says where a row, and nothing within it, is an object.
_ROW_IS_OBJECT = re.compile(r"got `object` - at `\$\[(?P<row>\d+)\]`$")


class _Doubled(dict[str, Any]):
    """An object in which a name stands more than once.

    Args:
        pairs: its names and values.

    Attributes:
        names: as often as they stand.
    """

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.names = [name for name, _ in pairs]


def _read_by_name(text: bytes, named: str) -> Any:
    """Read JSON whose objects tell a name that is doubled, and whose numbers stay as they were written."""
    try:
        return _BY_NAME.decode(text.decode())
    except ValueError as cause:  # of bytes that nothing has looked into yet
        raise InvalidInput(f"{named}: {cause}") from cause


def parts_by_name(inputs: bytes) -> dict[str, msgspec.Raw]:
    """Split an object into its parts, which are not looked into.

    Raises:
        InvalidInput: a name stands there twice.
        msgspec.DecodeError: it is no object.
    """
    parts = msgspec.json.decode(inputs, type=dict[str, msgspec.Raw])
    twice = doubled_name(inputs, depth=1)
    if twice is not None:
        raise InvalidInput(f"inputs has {quoted(twice)} more than once")
    return parts


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    return row if len(row) == len(pairs) else _Doubled(pairs)


_BY_NAME = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=msgspec.Raw, parse_float=msgspec.Raw, strict=False
)


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
