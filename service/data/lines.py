"""Rows of a JSONL file, an object a line."""

from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import msgspec

from service.data.columns import Columns
from service.json_names import doubled_name
from service.predictor.column_names import quoted

_DECODER = msgspec.json.Decoder(dict[str, Any])


class Lines:
    """A file of JSON objects that all have the same names.

    Args:
        path: of the file.

    Attributes:
        names: those of the first line.
        rows: unknown before it is read.

    Raises:
        ValueError: the first line is no object.
    """

    rows: int | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            first = file.readline()
        self.names = list(_object(first, 0)) if first.strip() else []

    def parts(self, start: int, size: int) -> Iterator[Columns]:
        """Give rows from `start` on, `size` at a time."""
        with self._path.open("rb") as file:
            lines = islice((line for line in file if line.strip()), start, None)
            for first in count(start, size):
                rows = [_object(line, number) for number, line in enumerate(islice(lines, size), first)]
                if not rows:
                    return
                yield self._columns(rows, first)

    def _columns(self, rows: Sequence[dict[str, Any]], first: int) -> Columns:
        for number, row in enumerate(rows, first):
            if row.keys() != set(self.names):
                raise ValueError(f"row {number} has {', '.join(row)}, and the first {', '.join(self.names)}")
        return Columns({name: [row[name] for row in rows] for name in self.names})


def _object(line: bytes, number: int) -> dict[str, Any]:
    try:
        row = _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as cause:
        raise ValueError(f"row {number} is no JSON object: {cause}") from cause
    twice = doubled_name(line)
    if twice is not None:
        raise ValueError(f"row {number}: two columns have one name: {quoted(twice)}")
    return row
