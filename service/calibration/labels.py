"""What rows are: class indices from names or numbers, values from columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import CalibrationError


def class_indices(
    column: NDArray[Any], labels: Sequence[str], named: str, each: str = "row"
) -> NDArray[np.int64]:
    """Find each row's class.

    Args:
        column: names of labels, or class indices, [rows].
        labels: of the model.
        named: the file and the column, for people.
        each: what a row is.

    Raises:
        CalibrationError: the text names the row.
    """
    if column.ndim != 1:
        raise CalibrationError(f"{named} must have one label a row, and have shape {list(column.shape)}")
    if column.dtype.kind in "iu":
        return _indices(column, labels, named, each)
    if column.dtype.kind == "f" and (column == np.floor(column)).all():
        return _indices(column.astype(np.int64), labels, named, each)
    places = {label: place for place, label in enumerate(labels)}
    names = [str(value) for value in column]
    if not any(name in places for name in names) and all(name.isdecimal() for name in names):
        return _indices(np.array(names, np.int64), labels, named, each)
    for row, name in enumerate(names):
        if name not in places:
            raise CalibrationError(
                f"{named} of {each} {row} is {name!r}; the model's are: {', '.join(labels)}"
            )
    return np.array([places[name] for name in names])


def values(column: NDArray[Any], targets: int, named: str) -> NDArray[np.float64]:
    """Give each row's values, [rows, targets].

    Raises:
        CalibrationError: the text says what is wrong.
    """
    try:
        array = column.astype(np.float64).reshape(len(column), -1)
    except (ValueError, TypeError) as cause:
        raise CalibrationError(f"{named} must be numbers: {cause}") from cause
    if array.shape[1] != targets:
        raise CalibrationError(f"{named} have {array.shape[1]} values a row, and the model gives {targets}")
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        raise CalibrationError(f"{named} of row {wrong[0][0]} is NaN or infinity")
    return array


def _indices(column: NDArray[Any], labels: Sequence[str], named: str, each: str) -> NDArray[np.int64]:
    outside = np.flatnonzero((column < 0) | (column >= len(labels)))
    if len(outside):
        row = int(outside[0])
        raise CalibrationError(
            f"{named} of {each} {row} is {column[row]}, and class indices are 0 to {len(labels) - 1}"
        )
    return column.astype(np.int64)
