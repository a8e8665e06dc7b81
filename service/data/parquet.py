"""Rows of a Parquet file, a few at a time."""

from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.data.columns import Columns, check_once

if TYPE_CHECKING:
    import pyarrow as pa

_INDEX = "__index_level_"  # what pandas calls the row numbers that it writes to Parquet
_MOST_AT_ONCE = 65_536


class Table:
    """A Parquet file.

    Args:
        path: of the file.

    Attributes:
        names: of its columns.
        rows: how many.

    Raises:
        ValueError: it is none, or pyarrow is not there to read it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _opened(path) as file:
            names: list[str] = file.schema_arrow.names
            self.names = [name for name in names if not name.startswith(_INDEX)]
            self.rows: int | None = file.metadata.num_rows
        check_once(self.names)

    def parts(self, start: int, size: int) -> Iterator[Columns]:
        """Give rows from `start` on, `size` at a time."""
        for table in of_size(self._tables(start, min(size, _MOST_AT_ONCE)), size):
            yield Columns({name: table.column(name) for name in self.names})

    def _tables(self, start: int, size: int) -> "Iterator[pa.Table]":
        """Read from the row group on that has row `start`."""
        import pyarrow as pa

        with _opened(self._path) as file:
            ends = list(accumulate(file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)))
            groups = [group for group, end in enumerate(ends) if end > start]
            if not groups:
                return
            before = start - (ends[groups[0] - 1] if groups[0] else 0)
            for batch in file.iter_batches(size, row_groups=groups, columns=self.names, use_threads=False):
                table = pa.Table.from_batches([batch])
                yield table.slice(before)
                before = max(0, before - len(table))


def of_size(tables: "Iterable[pa.Table]", size: int) -> "Iterator[pa.Table]":
    """Cut and join tables to so many rows each, but the last."""
    import pyarrow as pa

    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        while sum(map(len, held)) >= size:
            whole = pa.concat_tables(held)
            yield whole.slice(0, size)
            held = [whole.slice(size)]
    if sum(map(len, held)):
        yield pa.concat_tables(held)


def _opened(path: Path) -> Any:
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError as cause:
        raise ValueError("reading Parquet needs pyarrow: pip install 'unsure[parquet]'") from cause
    try:
        return parquet.ParquetFile(path)
    except ArrowException as cause:
        raise ValueError(f"it is no Parquet file that can be read: {cause}") from cause
