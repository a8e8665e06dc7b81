"""Rows of a file, column by column."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.predictor.column_names import listed

Array = NDArray[Any]


class Columns(Mapping[str, Array]):
    """Columns by their names, as arrays with rows first; those that nobody asks for are not converted.

    Args:
        held: each as its file has it: an array, a list of values, or an array of pyarrow.
    """

    def __init__(self, held: Mapping[str, Any]) -> None:
        self.held = held

    def __getitem__(self, name: str) -> Array:
        return as_array(self.held[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.held)

    def __len__(self) -> int:
        return len(self.held)

    @property
    def rows(self) -> int:
        """How many, of the first column."""
        return len(next(iter(self.held.values()), ()))

    def in_order(self, names: Sequence[str]) -> "Columns":
        """Give the same columns, in the order of names."""
        return Columns({name: self.held[name] for name in names})

    def taken(self, numbers: Sequence[int]) -> "Columns":
        """Give some rows, by their numbers in here."""
        return Columns({name: _taken(column, numbers) for name, column in self.held.items()})


@dataclass(frozen=True)
class Part:
    """Rows that follow each other in one file.

    Args:
        columns: of them.
        first: number of the first among all rows of all files, from 0.
        path: of their file.
        offset: number of the first in that file.
    """

    columns: Columns
    first: int
    path: Path
    offset: int

    @property
    def end(self) -> int:
        """Number of the row behind the last."""
        return self.first + self.columns.rows

    @property
    def where(self) -> Path:
        """The file of the first row: that of all, unless rows are files of their own."""
        columns = self.columns.held.values()
        return next((held[0] for held in columns if isinstance(held, list) and are_files(held)), self.path)

    def some(self, places: Sequence[int]) -> "Part":
        """Give rows of it that follow each other."""
        first = places[0]
        return Part(self.columns.taken(places), self.first + first, self.path, self.offset + first)


def check_once(names: Sequence[str]) -> None:
    """Refuse columns of which nobody could tell which is meant.

    Raises:
        ValueError: two have one name.
    """
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise ValueError(f"two columns have one name: {listed(doubled)}")


def are_files(values: Sequence[Any] | Array) -> bool:
    """Tell whether the values of a column are files, which are read when rows are made of them."""
    return len(values) > 0 and isinstance(values[0], Path)


def as_array(column: Any) -> Array:
    """Give a column's values, [rows, …]; where rows differ in shape, or are texts, [rows] of objects."""
    if isinstance(column, np.ndarray):
        return column
    if isinstance(column, list):
        return _of_values(column)
    return _of_arrow(column)


def _of_values(values: Sequence[Any]) -> Array:
    if not any(isinstance(value, str) for value in values):
        try:
            return np.array(values)
        except ValueError:  # lists of several lengths
            pass
    objects = np.empty(len(values), object)
    objects[:] = list(values)
    return objects


def _of_arrow(column: Any) -> Array:
    import pyarrow as pa
    from pyarrow import types

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    kind = column.type
    if types.is_dictionary(kind):
        return _of_arrow(column.dictionary_decode())
    if types.is_decimal(kind):
        return _of_arrow(column.cast(pa.float64()))
    if _is_list(kind):
        return _of_lists(column)
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _of_lists(column: Any) -> Array:
    """Give lists of one length as an array, without an object a number; others as they are."""
    import pyarrow.compute as pc

    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) != 1 or not lengths[0]:
        return _of_values(column.to_pylist())
    inner = _of_arrow(column.flatten())
    return inner.reshape(len(column), lengths[0], *inner.shape[1:])


def _taken(column: Any, numbers: Sequence[int]) -> Any:
    if isinstance(column, np.ndarray):
        return column[list(numbers)]
    if isinstance(column, list):
        return [column[number] for number in numbers]
    return column.take(list(numbers))
