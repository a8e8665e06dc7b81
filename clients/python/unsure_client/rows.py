"""Rows as callers have them, and as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured
from numpy.typing import NDArray

from unsure_client.errors import InvalidInput
from unsure_client.naming import column_names, order
from unsure_client.writing import written

RowsGiven: TypeAlias = Any
"""An array [rows, ...], a sequence of rows (also of different lengths), or a Series; or a DataFrame or other
table with names, which are matched with those of the model's columns; of a model of several inputs, a mapping
of such by their names."""


class Rows:
    """Rows of one call.

    Args:
        given: by the caller.

    Raises:
        InvalidInput: there are none, or the inputs have different numbers of them.
    """

    def __init__(self, given: RowsGiven) -> None:
        self.names = tuple(given) if isinstance(given, Mapping) else ()
        inputs = list(given.values()) if isinstance(given, Mapping) else [given]
        self.index = next((rows.index for rows in inputs if _is_pandas(rows)), None)
        self._inputs = [_rows_of(rows) for rows in inputs]
        self._columns = [column_names(rows) for rows in inputs]
        self.count = self._count()

    @property
    def have_names(self) -> bool:
        """Whether columns have names, so that the model's must be looked at."""
        return any(names is not None for names in self._columns)

    def arrange(self, columns: Mapping[str, Sequence[str]]) -> None:
        """Put columns that have names into the model's order, where its columns have names too.

        Args:
            columns: names of the model's, by its inputs; none of an input whose columns have no names.

        Raises:
            InvalidInput: a column is missing, unknown or there twice.
        """
        inputs = self.names or (tuple(columns) if len(columns) == 1 else ("",))
        for place, (name, present) in enumerate(zip(inputs, self._columns, strict=True)):
            rows, named = self._inputs[place], columns.get(name, ())
            if present is not None and named and isinstance(rows, np.ndarray):
                self._inputs[place] = rows[:, order(named, present)]

    def check(self) -> None:
        """Look at every row before the first is sent.

        Raises:
            InvalidInput: one cannot be written.
        """
        for number in range(self.count):
            if not all(_is_plain(rows[number]) for rows in self._inputs):
                self.encoded(number)

    def encoded(self, number: int) -> tuple[bytes, ...]:
        """Write a row as JSON, one text an input.

        Raises:
            InvalidInput: it cannot be.
        """
        return tuple(_encoded(rows[number], number) for rows in self._inputs)

    def _count(self) -> int:
        counts = {len(rows) for rows in self._inputs}
        if len(counts) > 1:
            told = {name: len(rows) for name, rows in zip(self.names, self._inputs, strict=True)}
            raise InvalidInput(f"all inputs must have the same number of rows, and have {told}")
        if counts in (set(), {0}):
            raise InvalidInput("there are no rows; give at least one")
        return counts.pop()


def _rows_of(given: RowsGiven) -> Sequence[Any] | NDArray[Any]:
    if _is_pandas(given):
        return _converted(given.to_numpy())
    if isinstance(given, str) or not isinstance(given, Sequence):
        return _converted(given)
    return given


def _converted(given: Any) -> NDArray[Any]:
    """Take what is an array to numpy: a tensor, say."""
    try:
        array = np.asarray(given)
        if array.dtype.names is not None:
            array = structured_to_unstructured(array)
    except (RuntimeError, TypeError, ValueError) as cause:  # of a tensor that has a gradient, or is elsewhere
        raise InvalidInput(f"rows are a {type(given).__name__} that numpy cannot take: {cause}") from cause
    if not array.ndim:
        raise InvalidInput(
            f"rows must be an array, a sequence or a DataFrame, and are a {type(given).__name__}"
        )
    return array


def _is_pandas(given: Any) -> bool:
    return hasattr(given, "to_numpy") and hasattr(given, "index")


def _is_plain(row: Any) -> bool:
    """Tell of a row, without writing it, whether it surely can be."""
    if isinstance(row, (np.ndarray, np.number)) and row.dtype.kind in "biuf":
        return bool(np.isfinite(row).all())
    return isinstance(row, str)


def _encoded(row: Any, number: int) -> bytes:
    try:
        return written(row)
    except ValueError as cause:
        raise InvalidInput(
            f"row {number} holds NaN or an infinity; a model takes finite numbers alone"
        ) from cause
    except TypeError as cause:
        raise InvalidInput(f"row {number} holds what is neither a number nor a text: {cause}") from cause
