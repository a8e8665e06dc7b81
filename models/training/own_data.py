"""A user's own data: a file → rows of numbers, targets, labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training.data import Rows, Task
from models.training.fit import TrainingError
from models.training.tables import CSV_ENDINGS, PARQUET_ENDINGS, column_of, read_table, require_columns
from models.training.targets import as_float32, read_targets

ARCHIVE_ENDING = ".npz"


@dataclass(frozen=True)
class OwnData:
    """What a file holds.

    Args:
        rows: its rows.
        task: what can be learned.
        labels: of the classes; none in regression.
        columns: names of the inputs' features; none where the file has no names.
    """

    rows: Rows
    task: Task
    labels: tuple[str, ...]
    columns: tuple[str, ...] = ()


def read_data(path: Path, target: str | None, task: Task | None, ignored: Sequence[str] = ()) -> OwnData:
    """Read a file of labelled rows.

    Args:
        path: a CSV, a Parquet file, or an NPZ with the arrays `inputs` and `targets`.
        target: the column to learn; None for an NPZ.
        task: None to take it from the targets.
        ignored: columns that are no features.

    Raises:
        TrainingError: it is none of these, or a network cannot learn from what it holds.
    """
    if path.suffix == ARCHIVE_ENDING:
        if target or ignored:
            raise TrainingError(
                "--target and --ignore name columns; an NPZ has the arrays inputs and targets"
            )
        return _archive(path, task)
    if path.suffix not in CSV_ENDINGS + PARQUET_ENDINGS:
        known = ", ".join((*CSV_ENDINGS, *PARQUET_ENDINGS, ARCHIVE_ENDING))
        raise TrainingError(f"{path} is of no known kind; its ending must be one of {known}")
    if target is None:
        raise TrainingError(f"{path} needs --target: the column to learn")
    return _table(path, target, task, ignored)


def _table(path: Path, target: str, task: Task | None, ignored: Sequence[str]) -> OwnData:
    table = read_table(path)
    require_columns(table, ignored, "--ignore")
    found = read_targets(target_values(column_of(table, target, "--target")), task)
    names = tuple(name for name in table.column_names if name not in (target, *ignored))
    if not names:
        raise TrainingError(f"{path} has no column besides {target!r} to learn from")
    features = np.column_stack([_feature(table, name) for name in names])
    return OwnData(Rows(torch.from_numpy(features), found.values), found.task, found.labels, names)


def target_values(column: pa.ChunkedArray) -> NDArray[Any]:
    """Give a column's values as text, booleans, whole numbers or numbers."""
    if kinds.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if kinds.is_boolean(column.type) or kinds.is_integer(column.type):
        return np.asarray(column.to_numpy())
    if kinds.is_floating(column.type) or kinds.is_decimal(column.type):
        return np.asarray(column.cast(pa.float64()).to_numpy())
    listed = column.to_pylist()
    if isinstance(listed[0], list | dict):
        raise TrainingError(f"the targets are {column.type}; they must be text, whole numbers or numbers")
    if isinstance(listed[0], bytes):
        return np.array(listed)
    return np.array([str(value) for value in listed])


def _feature(table: pa.Table, name: str) -> NDArray[np.float32]:
    """Give a column of numbers; truth is 1, and untruth 0."""
    column = column_of(table, name, "a feature")
    if not _is_number(column.type):
        raise TrainingError(
            f"column {name!r} has no numbers but {column.type}, such as {column[0].as_py()!r}; --ignore "
            f"{name}, or write it as numbers, such as a column of 0 and 1 for each value"
        )
    values = as_float32(np.asarray(column.cast(pa.float64()).to_numpy()))
    _refuse_infinite(values, f"column {name!r}, row")
    return values


def _is_number(kind: pa.DataType) -> bool:
    return any(
        is_kind(kind) for is_kind in (kinds.is_boolean, kinds.is_integer, kinds.is_floating, kinds.is_decimal)
    )


def _refuse_infinite(values: NDArray[np.float32], where: str) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        place = ", ".join(str(index + 1) for index in np.argwhere(~finite)[0])
        raise TrainingError(f"{where} {place}: the value is not finite, or more than a float32 can hold")


def _archive(path: Path, task: Task | None) -> OwnData:
    inputs, targets = _arrays(path)
    if inputs.dtype.kind not in "biuf" or inputs.ndim == 0:
        raise TrainingError(
            f"inputs of {path} are {inputs.dtype}, {list(inputs.shape)}; they must be rows of numbers"
        )
    if targets.ndim == 0 or len(inputs) != len(targets):
        raise TrainingError(
            f"{path} has inputs {list(inputs.shape)} and targets {list(targets.shape)}: rows differ"
        )
    if targets.dtype.kind == "f" and not np.isfinite(targets).all():
        row = np.argwhere(~np.isfinite(targets))[0][0] + 1
        raise TrainingError(f"targets of {path} are NaN or infinite in row {row}; leave the row out")
    found = read_targets(targets, task)
    return OwnData(Rows(_tensor(inputs), found.values), found.task, found.labels)


# What numpy, zipfile and zlib raise about bytes that are no archive of arrays, or a damaged one.
_UNREADABLE = (
    *(OSError, ValueError, BadZipFile, EOFError, AttributeError, TypeError),
    *(SyntaxError, TokenError, RuntimeError, MemoryError, ZlibError),
)


def _arrays(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except _UNREADABLE as cause:
        raise TrainingError(f"{path} cannot be read as an NPZ of numbers and texts: {cause}") from cause
    if {"inputs", "targets"} - set(arrays):
        raise TrainingError(
            f"{path} must have the arrays inputs and targets; it has {', '.join(arrays) or 'none'}"
        )
    return arrays["inputs"], arrays["targets"]


def _tensor(inputs: NDArray[Any]) -> Tensor:
    """Give rows of at least one dimension."""
    values = as_float32(inputs).reshape(len(inputs), *(inputs.shape[1:] or (1,)))
    _refuse_infinite(values, "inputs, counted from 1, at")
    return torch.from_numpy(values)
