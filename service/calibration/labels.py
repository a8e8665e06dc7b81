"""What rows are: class indices from names or numbers, values from columns."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import CalibrationError
from service.labels import Labels, Reading, is_missing


def class_indices(
    values: Sequence[Any], labels: Sequence[str], reading: Reading | None, place: Callable[[int], str]
) -> NDArray[np.int64]:
    """Find each value's class, as `service.labels.Labels.classes` does.

    Raises:
        CalibrationError: the text names the value.
    """
    try:
        return np.array(Labels(labels).classes(values, reading, place), np.int64)
    except ValueError as cause:
        raise CalibrationError(str(cause)) from cause


def single_labels(held: Any, named: str) -> list[Any]:
    """Give a column's values as Python has them, one a row.

    Args:
        held: an array, a list, or an array of pyarrow.
        named: the file and the column, for people.

    Raises:
        CalibrationError: a row has several.
    """
    if isinstance(held, np.ndarray):
        if held.ndim != 1:
            raise CalibrationError(f"{named} must have one label a row, and have shape {list(held.shape)}")
        # Of finer ones numpy gives bare numbers.
        days = held.dtype.kind == "M" and held.dtype != np.dtype("M8[D]")
        return list((held.astype("M8[us]") if days else held).tolist())
    listed = held if isinstance(held, list) else held.to_pylist()
    row = next((row for row, value in enumerate(listed) if isinstance(value, list | dict)), None)
    if row is not None:
        raise CalibrationError(
            f"{named} must have one label a row, and row {row} has {str(listed[row])[:40]}"
        )
    return list(listed)


def values(column: NDArray[Any], targets: int, named: str) -> NDArray[np.float64]:
    """Give each row's values, [rows, targets].

    Raises:
        CalibrationError: the text says what is wrong.
    """
    if column.dtype.kind not in "biufOUS":
        raise CalibrationError(f"{named} must be numbers, and are {column.dtype}")
    numbers = column if column.dtype.kind in "biuf" else _read_numbers(column, named)
    array = numbers.astype(np.float64).reshape(len(column), -1)
    if array.shape[1] != targets:
        raise CalibrationError(f"{named} have {array.shape[1]} values a row, and the model gives {targets}")
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        raise CalibrationError(f"{named} of row {wrong[0][0]} is NaN or infinity")
    return array


def _read_numbers(column: NDArray[Any], named: str) -> NDArray[np.float64]:
    """Read texts, or whatever else stands in rows, as numbers."""
    rows: list[Any] = []
    for row, value in enumerate(column.tolist()):
        several = value.tolist() if isinstance(value, np.ndarray) else value
        rows.append(
            [_number(one, row, named) for one in several]
            if isinstance(several, list)
            else _number(several, row, named)
        )
    try:
        return np.array(rows, np.float64)
    except ValueError as cause:
        raise CalibrationError(f"{named} differ in how many values a row has") from cause


def _number(value: Any, row: int, named: str) -> float:
    if is_missing(value):
        raise CalibrationError(f"{named} of row {row} is empty, NaN or infinity; leave the row out")
    try:
        text = value.decode() if isinstance(value, bytes) else value
        # Python takes 1_000 for a number, and no file does.
        return float(text.replace("_", " ") if isinstance(text, str) else text)
    except (ValueError, TypeError, OverflowError) as cause:
        listed = isinstance(value, str) and value.lstrip().startswith("[")
        several = (
            "; several values a row stand in an .npz, or as lists in .parquet or .jsonl" if listed else ""
        )
        raise CalibrationError(
            f"{named} must be numbers, and of row {row} is {str(value)[:40]!r}{several}"
        ) from cause
