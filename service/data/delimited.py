"""Rows of a CSV file, as text, some at a time."""

import csv
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import IO

from service.data.columns import Columns, check_once

_LARGEST_CELL = 2**24


class Delimited:
    """A CSV file with a head.

    Args:
        path: of the file.

    Attributes:
        names: of its columns.
        rows: unknown before it is read.

    Raises:
        ValueError: two columns have one name.
    """

    rows: int | None = None

    def __init__(self, path: Path) -> None:
        csv.field_size_limit(_LARGEST_CELL)
        self._path = path
        with self._opened() as file:
            self.names = next(csv.reader(file), [])
        check_once(self.names)

    def parts(self, start: int, size: int) -> Iterator[Columns]:
        """Give rows from `start` on, `size` at a time."""
        with self._opened() as file:
            lines = islice(csv.reader(file), 1 + start, None)
            for first in count(start, size):
                cells = list(islice(lines, size))
                if not cells:
                    return
                yield self._columns(cells, first)

    def _columns(self, cells: list[list[str]], first: int) -> Columns:
        for number, line in enumerate(cells, first):
            if len(line) != len(self.names):
                raise ValueError(f"row {number} has {len(line)} cells, and the head {len(self.names)}")
        return Columns(dict(zip(self.names, map(list, zip(*cells, strict=True)), strict=True)))

    def _opened(self) -> IO[str]:
        # Spreadsheets write a mark before the first name.
        return self._path.open(newline="", encoding="utf-8-sig")
