"""From a path to its rows: one file, or a folder of files in the order of their names."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path, PurePath
from sys import maxsize
from typing import Protocol

from service.data.archives import Archive
from service.data.columns import Columns, Part
from service.data.delimited import Delimited
from service.data.file_rows import FileRows
from service.data.folders import listed
from service.data.images import ENDINGS, check_pillow
from service.data.lines import Lines
from service.data.parquet import Table
from service.data.texts import ENDING, TextLines
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
    ENDING: TextLines,
}

_IMAGES = "an image"
_ENDINGS = ", ".join([*READERS, *ENDINGS])

_COUNTED_AT_ONCE = 4096


class Files:
    """The rows of a file, or of all files of a folder, one after another.

    Args:
        path: of the file or the folder.

    Attributes:
        names: of the columns.
        rows: how many; None where that takes reading them.
        of_images: whether rows are images, which are decoded where they are read.

    Raises:
        DataError: there is none, it cannot be read, or the files of a folder differ in kind or columns.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names, self._sources = _found(path)
        first, source = self._sources[0]
        self.names = source.names
        for one, other in self._sources:
            if sorted(other.names) != sorted(self.names):
                raise DataError(
                    f"{one} has the columns {', '.join(other.names)}, and {first.name} "
                    f"{', '.join(self.names)}; all files of a folder need the same"
                )
        counts = [source.rows for _, source in self._sources]
        self.rows = sum(count for count in counts if count is not None) if None not in counts else None
        self.of_images = bool(self._names) and _kind(self._names[0]) == _IMAGES

    def parts(self, start: int, size: int) -> Iterator[Part]:
        """Give rows from `start` on, at most `size` at a time and of one file.

        A part ends where a file does; so they are the same parts from wherever one of them begins.

        Raises:
            DataError: a file cannot be read on.
        """
        first = 0  # of the file, among all rows
        for path, source in self._sources:
            if start > first and first + _rows(path, source) <= start:
                first += _rows(path, source)
                continue
            offset = max(0, start - first)
            with _told(path):
                for columns in source.parts(offset, size):
                    yield Part(columns.in_order(self.names), first + offset, path, offset)
                    offset += columns.rows
            first += offset

    def whole(self) -> Columns:
        """Give all rows at once.

        Raises:
            DataError: they cannot be read, there are none, or they lie in several files.
        """
        if len(self._sources) > 1:
            raise DataError(f"{self._path} has {len(self._sources)} files of rows; name one, or join them")
        columns = next((part.columns for part in self.parts(0, maxsize)), Columns({}))
        if not columns or not min(len(held) for held in columns.held.values()):
            raise DataError(f"{self._path} has no rows")
        return columns

    def digest(self) -> str:
        """Give the SHA-256 of a file, or of the names and the digests of a folder's files."""
        if not self._names:
            return digest_of(self._path)
        whole = sha256()
        for name in self._names:
            whole.update(f"{digest_of(self._path / name)}  {name}\n".encode())
        return whole.hexdigest()


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


def _found(path: Path) -> tuple[Sequence[str], list[tuple[Path, Source]]]:
    """Give the names of the files of a folder, none of one file, and what gives their rows.

    Raises:
        DataError: there is none, it cannot be read, or files are of several kinds.
    """
    if not path.exists():
        raise DataError(f"there is no {path}")
    if not path.is_dir():
        return (), [(path, _opened(path))]
    names = listed(path)
    if not names or _kind(names[0]) not in READERS or _kind(names[0]) == ENDING:
        names = listed(path, deep=True)
    kind = _kind_of_all(path, names)
    if kind in (_IMAGES, ENDING):
        with _told(path):
            return names, [(path, _file_rows(path, names, kind))]
    if "/" in names[0]:
        raise DataError(f"{path} has its files of rows in folders, as {names[0]}; name one of the folders")
    return names, [(path / name, _opened(path / name)) for name in names]


def _kind_of_all(path: Path, names: Sequence[str]) -> str:
    if not names:
        raise DataError(f"{path} has no files of rows; they end in {_ENDINGS}")
    kind = _kind(names[0])
    other = next((name for name in names if _kind(name) != kind), None)
    if other is not None:
        raise DataError(f"{path} has files of two kinds, {names[0]} and {other}; leave those of one")
    return kind


def _kind(name: str) -> str:
    """Give a file's ending; that of all images is one."""
    ending = PurePath(name).suffix.lower()
    return _IMAGES if ending in ENDINGS else ending


def _file_rows(path: Path, names: Sequence[str], kind: str) -> FileRows:
    if kind == _IMAGES:
        check_pillow()
    return FileRows(path, names)


def _opened(path: Path) -> Source:
    kind = _kind(path.name)
    if kind == _IMAGES:
        raise DataError(f"{path} is an image; images are read from a folder of them: name that")
    if kind not in READERS:
        raise DataError(f"{path} is none of {_ENDINGS}")
    if not path.is_file():  # to open a pipe is to wait for it, and a device may have no end
        raise DataError(f"{path} is not a file")
    with _told(path):
        return READERS[kind](path)


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
