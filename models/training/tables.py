"""Tables on disk, CSV and Parquet: a column by its name, and nothing missing."""

from collections.abc import Sequence
from pathlib import Path
from reprlib import repr as shortened

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from models.training.fit import TrainingError

CSV_ENDINGS, PARQUET_ENDINGS = (".csv", ".tsv", ".txt"), (".parquet", ".pq")

_DELIMITERS = ",;\t"
_LEAST_BLOCK, _MOST_BLOCK = 2**20, 2**31 - 1
_INDEX = "__index_level_"  # what pandas calls the row numbers that it writes to Parquet
_NAMED, _QUOTED = 20, 200


def read_table(path: Path) -> pa.Table:
    """Read a table.

    Args:
        path: of a file whose ending tells what it is.

    Raises:
        TrainingError: it is no such table, or has no rows, a column without a name, or two of one.
    """
    try:
        table = parquet.ParquetFile(path).read() if path.suffix in PARQUET_ENDINGS else _csv(path)
        names = [name for name in table.column_names if not name.startswith(_INDEX)]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as cause:
        raise TrainingError(f"{path} cannot be read: {_printable(str(cause))}") from cause
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TrainingError(f"{path} has more than one column {twice[0]!r}; give each a name of its own")
    if "" in names:
        raise TrainingError(
            f"{path}: column {names.index('') + 1} has no name; give it one, or leave it out: row numbers, "
            "say, which pandas writes unless to_csv is given index=False"
        )
    if not len(table):
        raise TrainingError(f"{path} has no rows")
    return table.select(names)


def column_of(table: pa.Table, name: str, option: str) -> pa.ChunkedArray:
    """Give a column that has a value in every row.

    Args:
        table: with or without it.
        name: of the column.
        option: by which it was asked for.

    Raises:
        TrainingError: there is none of that name, or a cell is empty.
    """
    require_columns(table, [name], option)
    column = table.column(name)
    missing = pc.is_null(column, nan_is_null=True)
    row = pc.index(missing, True).as_py()
    if row >= 0:
        raise TrainingError(
            f"column {name!r} is empty, or NaN, in {pc.sum(missing).as_py()} of {len(column)} rows, first in "
            f"row {row + 1}; fill the cells, leave the rows out of the file, or --ignore the column"
        )
    return column


def require_columns(table: pa.Table, names: Sequence[str], option: str) -> None:
    """Refuse names that are no column's."""
    for name in names:
        if name not in table.column_names:
            raise TrainingError(f"{option} {name!r} is no column; there are: {_listed(table.column_names)}")


def _printable(text: str) -> str:
    """Shorten a reason, which may quote what is no text."""
    return "".join(letter if letter.isprintable() and letter != "\ufffd" else "?" for letter in text)[
        :_QUOTED
    ]


def _listed(names: Sequence[str]) -> str:
    more = f", and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(shortened(name) for name in names[:_NAMED]) + more


def _csv(path: Path) -> pa.Table:
    """Read in one block, since the types are those of the first block."""
    size = path.stat().st_size
    block = min(max(size + 1, _LEAST_BLOCK), _MOST_BLOCK)
    reading = csv.ReadOptions(use_threads=False, block_size=block)
    parsing = csv.ParseOptions(delimiter=_delimiter(path), newlines_in_values=True)
    return csv.read_csv(path, reading, parsing)


def _delimiter(path: Path) -> str:
    """Take what separates the names in the first line: a comma, a semicolon or a tab."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        first = lines.readline(_LEAST_BLOCK)
    return max(_DELIMITERS, key=first.count)
