"""From a path to its rows: one file, or a folder of parts in the order of their names."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from sys import maxsize
from typing import Protocol

from service.data.archives import Archive
from service.data.columns import Columns, Part
from service.data.delimited import Delimited
from service.data.lines import Lines
from service.data.parquet import Table
from service.errors import DataError


class Source(Protocol):
    """A file of rows.

    Attributes:
        names: of its columns.
        rows: how many; None where that takes reading it.
    """

    names: list[str]
    rows: int | None

    def parts(self, start: int, size: int) -> Iterator[Columns]:
        """Give rows from `start` on, `size` at a time, but for the last."""


READERS: dict[str, Callable[[Path], Source]] = {
    ".npz": Archive,
    ".csv": Delimited,
    ".parquet": Table,
    ".jsonl": Lines,
}

_COUNTED_AT_ONCE = 4096


class Files:
    """The rows of a file, or of all files of a folder, one after another.

    Args:
        path: of the file or the folder.

    Attributes:
        names: of the columns.
        rows: how many; None where that takes reading them.

    Raises:
        DataError: there is none, it cannot be read, or the files of a folder differ in kind or columns.
    """

    def __init__(self, path: Path) -> None:
        self._paths = parts_of(path)
        self._sources = [_opened(one) for one in self._paths]
        self.names = self._sources[0].names
        for one, source in zip(self._paths, self._sources, strict=True):
            if source.names != self.names:
                raise DataError(
                    f"{one} has the columns {', '.join(source.names)}, and {self._paths[0].name} "
                    f"{', '.join(self.names)}; all files of a folder need the same, in one order"
                )
        counts = [source.rows for source in self._sources]
        self.rows = sum(count for count in counts if count is not None) if None not in counts else None

    def parts(self, start: int, size: int) -> Iterator[Part]:
        """Give rows from `start` on, at most `size` at a time and of one file.

        A part ends where a file does; so they are the same parts from wherever one of them begins.

        Raises:
            DataError: a file cannot be read on.
        """
        first = 0  # of the file, among all rows
        for path, source in zip(self._paths, self._sources, strict=True):
            if start > first and first + _rows(path, source) <= start:
                first += _rows(path, source)
                continue
            offset = max(0, start - first)
            with _told(path):
                for columns in source.parts(offset, size):
                    yield Part(columns, first + offset, path, offset)
                    offset += columns.rows
            first += offset

    def digest(self) -> str:
        """Give the SHA-256 of a file, or of the names and the digests of a folder's files."""
        digests = [(path.name, digest_of(path)) for path in self._paths]
        if len(digests) == 1:
            return digests[0][1]
        return sha256("".join(f"{digest}  {name}\n" for name, digest in digests).encode()).hexdigest()


def parts_of(path: Path) -> Sequence[Path]:
    """List the files of a folder by name, or the one file.

    Raises:
        DataError: there is none, or they are of several kinds.
    """
    if not path.exists():
        raise DataError(f"there is no {path}")
    if not path.is_dir():
        return [path]
    with _told(path):
        files = sorted(one for one in path.iterdir() if one.is_file() and one.name[0] not in "._")
    if not files:
        raise DataError(f"{path} has no files of rows; they end in {', '.join(READERS)}")
    other = next((one for one in files if one.suffix != files[0].suffix), None)
    if other is not None:
        raise DataError(
            f"{path} has files of two kinds, {files[0].name} and {other.name}; leave those of one"
        )
    return files


def read_whole(path: Path) -> Columns:
    """Give all rows of one file at once.

    Raises:
        DataError: it cannot be read, or has none.
    """
    source = _opened(path)
    with _told(path):
        columns = next(source.parts(0, maxsize), Columns({}))
    if not columns or not min(len(held) for held in columns.held.values()):
        raise DataError(f"{path} has no rows")
    return columns


def digest_of(path: Path) -> str:
    """Give the SHA-256 of one file, in hexadecimal.

    Raises:
        DataError: it cannot be read.
    """
    with _told(path), path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _rows(path: Path, source: Source) -> int:
    """Count the rows of a file, if need be by reading it; once."""
    if source.rows is None:
        with _told(path):
            source.rows = sum(columns.rows for columns in source.parts(0, _COUNTED_AT_ONCE))
    return source.rows


def _opened(path: Path) -> Source:
    if path.suffix not in READERS:
        raise DataError(f"{path} is none of {', '.join(READERS)}")
    with _told(path):
        return READERS[path.suffix](path)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Name the file that cannot be read."""
    try:
        yield
    except OSError as cause:
        raise DataError(f"{path} cannot be read: {cause.strerror or _printable(cause)}") from cause
    except (ValueError, EOFError, NotImplementedError, csv.Error) as cause:
        raise DataError(f"{path} cannot be read: {_printable(cause)}") from cause


def _printable(cause: Exception) -> str:
    """Give a library's words on one line; they may quote what is no text."""
    words = "".join(letter if letter.isprintable() else " " for letter in str(cause))
    return " ".join(words.split())
