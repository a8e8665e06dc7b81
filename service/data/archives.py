"""Rows of an .npz archive, read as they lie in it: an array is never in memory as a whole."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError

import numpy as np
from numpy.lib import format as npy

from service.data.columns import Array, Columns

_ENDING = ".npy"

# What zipfile and numpy's parser of headers raise about bytes that are damaged.
_DAMAGED = (TypeError, KeyError, SyntaxError, TokenError, RuntimeError, MemoryError, ZlibError)


class Archive:
    """An .npz of arrays with rows first.

    Args:
        path: of the file.

    Attributes:
        names: of the arrays.
        rows: of the longest.

    Raises:
        ValueError: it is damaged, or holds objects.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _refused(), ZipFile(path) as archive, ExitStack() as stack:
            members = {
                _named(member): stack.enter_context(archive.open(member)) for member in archive.namelist()
            }
            lengths = {name: _Member(file).rows for name, file in members.items()}
        self.names = list(lengths)
        self._rows = max(lengths.values(), default=0)
        self.rows: int | None = self._rows

    def parts(self, start: int, size: int) -> Iterator[Columns]:
        """Give rows from `start` on, `size` at a time."""
        with _refused(), ZipFile(self._path) as archive, ExitStack() as stack:
            members = {
                _named(member): _Member(stack.enter_context(archive.open(member)))
                for member in archive.namelist()
            }
            for member in members.values():
                member.skip(start)
            for _ in range(start, self._rows, size):
                yield Columns({name: member.read(size) for name, member in members.items()})


class _Member:
    """One array of an archive, from which rows are read one after another."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, columns_first, self._dtype = read(file)
        if self._dtype.hasobject:
            raise ValueError("it holds Python objects, which are never read; save numbers or texts")
        self._shape = shape or (1,)
        self._place = 0
        # Its rows do not lie one after another: the one kind that is read whole.
        self._whole = self._turned() if columns_first and len(shape) > 1 else None

    @property
    def rows(self) -> int:
        return int(self._shape[0])

    def skip(self, rows: int) -> None:
        self._place = min(rows, self.rows)
        if self._whole is None:
            self._file.seek(self._place * self._row_bytes, 1)

    def read(self, rows: int) -> Array:
        count = min(rows, self.rows - self._place)
        self._place += count
        if self._whole is not None:
            return self._whole[self._place - count : self._place]
        return self._numbers(count).reshape(count, *self._shape[1:])

    def _turned(self) -> Array:
        return np.ascontiguousarray(self._numbers(self.rows).reshape(self._shape, order="F"))

    def _numbers(self, rows: int) -> Array:
        data = self._file.read(rows * self._row_bytes)
        if len(data) < rows * self._row_bytes:
            raise EOFError("an array ends before its last row")
        return np.frombuffer(data, self._dtype)

    @property
    def _row_bytes(self) -> int:
        return int(np.prod(self._shape[1:], dtype=np.int64)) * self._dtype.itemsize


def _named(member: str) -> str:
    return member.removesuffix(_ENDING)


@contextmanager
def _refused() -> Iterator[None]:
    """Say in a sentence what is wrong with an archive."""
    try:
        yield
    except BadZipFile as cause:
        raise ValueError("it is no .npz archive") from cause
    except _DAMAGED as cause:
        raise ValueError(f"it is no .npz archive of arrays that can be read: {cause}") from cause
