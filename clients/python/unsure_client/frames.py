"""Results as tables of pandas, where it is installed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas


def frame(columns: Mapping[str, Any], index: Any) -> "pandas.DataFrame":
    """Make a table, one line a row.

    Args:
        columns: each [rows], or [rows, width], which becomes `name_0`, `name_1` and so on; or `name`.
        index: of the table that the rows came from; None for a new one.

    Raises:
        ImportError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as cause:
        raise ImportError("to_pandas() needs pandas: pip install 'unsure-client[pandas]'") from cause
    flat = {key: values for name, column in columns.items() for key, values in _flat(name, column).items()}
    return pd.DataFrame(flat, index=index)


def _flat(name: str, column: Any) -> dict[str, Any]:
    if not isinstance(column, np.ndarray) or column.ndim == 1:
        return {name: column}
    if column.shape[1] == 1:
        return {name: column[:, 0]}
    return {f"{name}_{number}": column[:, number] for number in range(column.shape[1])}
