"""Plain text: a file of it with a text a line, or files of one text each."""

from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import IO

from service.data.columns import Columns
from service.errors import DataError, InvalidInput

ENDING = ".txt"

_LARGEST_BYTES = 2**24  # of a text: far more than a model takes, and little enough to be held
_MARK = b"\xef\xbb\xbf"  # that some editors begin a file with


class TextLines:
    """A text a line. An empty line is an empty text, so that rows are numbered as lines are, from 0.

    Args:
        path: of the file.

    Attributes:
        names: of its one column.
        rows: unknown before it is read.
    """

    rows: int | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self.names = ["text"]
        path.open("rb").close()

    def parts(self, start: int, size: int) -> Iterator[Columns]:
        """Give rows from `start` on, `size` at a time."""
        with self._path.open("rb") as file:
            lines = islice(_lines(file), start, None)
            for first in count(start, size):
                texts = [_line(line, number) for number, line in enumerate(islice(lines, size), first)]
                if not texts:
                    return
                yield Columns({self.names[0]: texts})


def read_text(path: Path, row: int) -> str:
    """Read a file that is one text; its last line may end or not.

    Args:
        path: of the file.
        row: its number, for people.

    Raises:
        DataError: it is no file of text.
        InvalidInput: it cannot be read, or is not UTF-8.
    """
    if path.suffix.lower() != ENDING:
        raise DataError(f"{path} does not end in {ENDING}, and the model takes texts")
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as cause:
        raise InvalidInput(f"row {row} cannot be read: {cause.strerror}") from cause
    if len(content) > _LARGEST_BYTES:
        raise InvalidInput(f"row {row} has more than the {_LARGEST_BYTES} bytes that a text may have")
    try:
        return _decoded(content.removeprefix(_MARK), row)
    except ValueError as cause:
        raise InvalidInput(str(cause)) from cause


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    if file.read(len(_MARK)) != _MARK:
        file.seek(0)
    while line := file.readline(_LARGEST_BYTES):
        yield line


def _line(line: bytes, row: int) -> str:
    if len(line) == _LARGEST_BYTES:
        raise ValueError(f"row {row} has more than the {_LARGEST_BYTES} bytes that a text may have")
    return _decoded(line, row)


def _decoded(text: bytes, row: int) -> str:
    """Decode a text without the end of its last line; raises a ValueError where it is not UTF-8."""
    try:
        return text.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError as cause:
        raise ValueError(f"row {row} is not UTF-8: {cause.reason} at byte {cause.start}") from cause
