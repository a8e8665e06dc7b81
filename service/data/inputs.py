"""Which columns of a file are a model's input, and the rows of a request made of them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import msgspec
import numpy as np

from service.data.columns import Array, Columns, are_files
from service.data.images import AS_THEY_ARE, Images
from service.data.texts import read_text
from service.errors import DataError, InvalidInput
from service.predictor.column_names import listed, mismatch
from service.predictor.given_tensors import DATATYPES, GivenTensor
from service.predictor.inputs import InputReader
from service.predictor.rows import Rows
from service.predictor.texts import TEXT, TextReader
from service.repository.manifest import InputSpec, Manifest

_INPUTS = "inputs"
_NUMBERS = "biuf"
_SHOWN = 20

Given = bytes | list[GivenTensor]


@dataclass(frozen=True)
class InputColumns:
    """Where a model's inputs stand in a file.

    Args:
        specs: of the tensors; none of a model of texts.
        places: the columns of each, in the order of `specs`: one, or one for each number of a row.
        images: how files of images become rows.
    """

    specs: Sequence[InputSpec]
    places: Sequence[Sequence[str]]
    images: Images = AS_THEY_ARE

    @property
    def names(self) -> list[str]:
        """Of all columns that are inputs."""
        return [name for names in self.places for name in names]

    def given(self, columns: Columns) -> Given:
        """Give rows as a request would bring them.

        Raises:
            InvalidInput: a column holds something else than its input takes.
        """
        if not self.specs:
            return msgspec.json.encode(_texts(columns[self.names[0]]))
        arrays = [
            self._array(spec, names, columns) for spec, names in zip(self.specs, self.places, strict=True)
        ]
        if any(array.dtype == object for array in arrays):  # rows of several lengths, which JSON can say
            return _as_json(self.specs, arrays)
        return [_tensor(spec, array) for spec, array in zip(self.specs, arrays, strict=True)]

    def read(self, columns: Columns, reader: InputReader | TextReader) -> Rows:
        """Read rows as those of a request are.

        Raises:
            InvalidInput: they are not the model's.
        """
        return reader.read(self.given(columns))

    def _array(self, spec: InputSpec, names: Sequence[str], columns: Columns) -> Array:
        if len(names) > 1:
            return _folded(np.stack([_numbers(name, columns[name]) for name in names], 1), spec)
        array = columns[names[0]]
        if are_files(array):
            return self.images.read(spec, array.tolist())
        if array.dtype == object and any(isinstance(value, (list, dict)) for value in array):
            return array
        return _folded(_numbers(names[0], array), spec)


def input_columns(
    manifest: Manifest, names: Sequence[str], others: Collection[str] = (), images: Images = AS_THEY_ARE
) -> InputColumns:
    """Find a model's inputs among the columns of a file.

    The columns that [columns] of model.toml names are found by their names, in any order, among any others.
    Else a column of an input's name is it; of the only input, so is `inputs`; or, where the model's columns
    have no names, all that there are, in their order.

    Args:
        manifest: of the model.
        names: of the columns.
        others: of those that are no inputs.
        images: how files of images become rows.

    Raises:
        DataError: they are not there; the text names what is missing.
    """
    left = [name for name in names if name not in others]
    if manifest.tokenizer is not None:
        return InputColumns((), [[_one(left, (TEXT, _INPUTS))]])
    alone = len(manifest.input) == 1
    places = [
        _by_name(columns, names, spec, left, alone=alone)
        if (columns := manifest.columns.get(spec.name, ()))
        else _by_place(spec, left, alone=alone)
        for spec in manifest.input
    ]
    return InputColumns(manifest.input, places, images)


def _one(names: Sequence[str], wanted: Iterable[str]) -> str:
    found = next((name for name in wanted if name in names), None)
    if found is None:
        raise DataError(f"there is no column {TEXT}; there are: {_listed(names)}")
    return found


def _by_name(
    columns: Sequence[str], names: Sequence[str], spec: InputSpec, left: Sequence[str], *, alone: bool
) -> Sequence[str]:
    fault = mismatch(columns, names, others=True)
    if fault is None:
        return columns
    whole = _whole_rows(spec, [name for name in left if name not in columns], alone=alone)
    if whole:
        return whole
    headless = (
        "; its first line holds numbers where names should stand" if all(map(_is_number, names)) else ""
    )
    raise DataError(
        f"it {fault}{headless}. Columns are found by the names that model.toml gives them, in any order: "
        f"{listed(columns)}; rename those of the file"
    )


def _whole_rows(spec: InputSpec, names: Sequence[str], *, alone: bool) -> Sequence[str]:
    """Find a column that has whole rows in its cells."""
    return [name for name in (spec.name, *([_INPUTS] if alone else [])) if name in names][:1]


def _by_place(spec: InputSpec, names: Sequence[str], *, alone: bool) -> Sequence[str]:
    whole = _whole_rows(spec, names, alone=alone)
    if whole:
        return whole
    numbers = prod(spec.shape)
    if alone and names and (len(names) == numbers or min(spec.shape, default=1) < 0):
        return names
    raise DataError(
        f"it has no input {spec.name}: a column of that name, or {numbers} columns of a number each; "
        f"there are {len(names)}: {_listed(names)}"
    )


def _listed(names: Sequence[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more


def _texts(column: Array) -> list[Any]:
    if not are_files(column):
        return list(column.tolist())
    return [read_text(path, row) for row, path in enumerate(column)]


def _numbers(name: str, column: Array) -> Array:
    """Give a column of numbers, or of texts that are."""
    if column.dtype.kind in _NUMBERS:
        return column
    try:
        if column.dtype.kind in "OUS":
            return column.astype(np.float64)
    except (ValueError, TypeError):
        row = next(number for number, value in enumerate(column.flat) if not _is_number(value))
        raise InvalidInput(f"{name}: row {row} is {str(column.flat[row])[:40]!r}, and no number") from None
    raise InvalidInput(f"{name}: row 0 is {str(column.flat[0])[:40]!r}, and no number")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (ValueError, TypeError):
        return False
    return True


def _folded(array: Array, spec: InputSpec) -> Array:
    """Give rows that were written flat, as a table writes them, the shape that the model takes."""
    shape = tuple(spec.shape)
    if array.shape[1:] != shape and min(shape, default=-1) > 0 and prod(array.shape[1:]) == prod(shape):
        return array.reshape(len(array), *shape) if array.ndim <= 2 else array
    return array


def _tensor(spec: InputSpec, array: Array) -> GivenTensor:
    _check_whole(spec, array)
    dtype = f"<{np.dtype(spec.dtype).str[1:]}"
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit is refused when it is read
        cast = np.ascontiguousarray(array, dtype=dtype)
    return GivenTensor(spec.name, DATATYPES[spec.dtype], cast.shape, cast.tobytes(), binary=True)


def _check_whole(spec: InputSpec, array: Array) -> None:
    """Refuse what a cast would make another number of."""
    if not spec.dtype.startswith("int"):
        return
    bounds = np.iinfo(spec.dtype)
    with np.errstate(invalid="ignore"):
        fits = (array >= bounds.min) & (array <= bounds.max) & (array == np.floor(array))
    if not fits.all():
        place = tuple(np.argwhere(~fits)[0])
        raise InvalidInput(f"input {spec.name}: row {place[0]} has {array[place]}, and no {spec.dtype}")


def _as_json(specs: Sequence[InputSpec], arrays: Sequence[Array]) -> bytes:
    rows: Mapping[str, Any] = {spec.name: array.tolist() for spec, array in zip(specs, arrays, strict=True)}
    return msgspec.json.encode(rows)
