"""Columns of the input that are carried through."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from service.data.columns import Columns
from service.errors import ScoringError

_BEFORE = "input_"
"""What a name begins with where an answer has a column of the same."""


def kept_names(wanted: Sequence[str], taken: Collection[str]) -> Mapping[str, str]:
    """Name columns anew where an answer has such a one; gives the new name by the old.

    Raises:
        ScoringError: that name is taken too.
    """
    names = {name: f"{_BEFORE}{name}" if name in taken else name for name in wanted}
    twice = next((new for old, new in names.items() if new != old and new in wanted), None)
    if twice is not None:
        raise ScoringError(
            f"the input has both {twice} and {twice.removeprefix(_BEFORE)}, which an answer has too; "
            "rename one, or say with --keep which columns are to be carried through"
        )
    return names


def kept_table(columns: Columns, names: Mapping[str, str]) -> pa.Table:
    """Give the columns that are kept: of Parquet and of arrays as they are, of others as texts."""
    return pa.table({new: _arrow(columns.held[old]) for old, new in names.items()})


def _arrow(column: Any) -> Any:
    if isinstance(column, list):
        return pa.array([_text(value) for value in column], pa.string())
    if isinstance(column, np.ndarray):
        return pa.array(column.tolist() if column.ndim > 1 or column.dtype.kind in "US" else column)
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()
