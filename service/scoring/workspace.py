"""A hidden folder beside the output: what an unfinished run has done, and what it was doing."""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec
import pyarrow as pa
from pyarrow import parquet

from service.data.parquet import of_size
from service.errors import ScoringError

_RECORD, _LOCK, _JOINED = "run.json", "lock", "joined.parquet"
_OURS = re.compile(rf"({_RECORD}|part-[0-9]+-[0-9]+\.parquet)(\.tmp)?|{_LOCK}|{_JOINED}|\..+")  # .DS_Store
_SHOWN = 20  # of a value that differs


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run is bound to, by what people call it; and how many rows its input has, which are checked."""

    facts: dict[str, str]
    rows: int


class Workspace:
    """The parts that are done. A part is there whole or not at all, named by its rows.

    Args:
        output: where the whole will be.

    Attributes:
        path: of the folder.
    """

    def __init__(self, output: Path) -> None:
        self._output = output
        self.path = output.with_name(f".{output.name}.scoring")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out.

        Raises:
            ScoringError: one is at work, the folder cannot be written to, or what lies there is no run's.
        """
        self._check_ours()
        with self.written():
            self.path.mkdir(exist_ok=True)
            lock = (self.path / _LOCK).open("wb")
        with lock:
            if not _lock(lock):
                raise ScoringError(f"another run writes to {self._output}; wait for it, or write elsewhere")
            try:
                yield
            finally:
                if not any(self.path.glob(_RECORD)):
                    self.remove()

    def begun(self) -> Record | None:
        """Tell what an earlier run was bound to; None where there is none that got so far.

        Raises:
            ScoringError: it cannot be read.
        """
        path = self.path / _RECORD
        try:
            return msgspec.json.decode(path.read_bytes(), type=Record)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as cause:
            raise ScoringError(f"{path} cannot be read: {cause}; begin anew with --restart") from cause

    def begin(self, record: Record) -> None:
        """Write down what this run is bound to."""
        with self.written():
            self._put(_RECORD, lambda path: path.write_bytes(msgspec.json.encode(record)))

    def clear(self) -> None:
        """Throw away what was done."""
        with self.written():
            for path in self.path.iterdir():
                if path.name != _LOCK:
                    path.unlink()

    def parts(self) -> list[Path]:
        """List what is done, in order."""
        return sorted(self.path.glob("part-*.parquet"))

    @property
    def done(self) -> int:
        """How many rows are done: parts follow each other without a gap."""
        end = 0
        for path in self.parts():
            start, end_of = _rows_of(path)
            if start != end:
                raise ScoringError(f"{path} does not follow row {end}; begin anew with --restart")
            end = end_of
        return end

    def add(self, first: int, tables: Sequence[pa.Table]) -> int:
        """Put rows beside those that are done; gives the number of the row behind them."""
        whole = pa.concat_tables(tables)
        end = first + len(whole)
        with self.written():
            self._put(f"part-{first:015}-{end:015}.parquet", lambda path: parquet.write_table(whole, path))
        return end

    def finish(self, schema: pa.Schema, group_rows: int) -> None:
        """Join the parts, and put the whole in its place."""
        with self.written():
            joined = self.path / _JOINED
            with parquet.ParquetWriter(joined, schema) as writer:
                for table in _regrouped(self.parts(), schema, group_rows):
                    writer.write_table(table)
            _to_disk(joined)
            joined.chmod(0o644)
            joined.replace(self._output)
            _to_disk(self._output.parent)

    def remove(self) -> None:
        """Take the folder away."""
        shutil.rmtree(self.path, ignore_errors=True)

    @contextmanager
    def written(self) -> Iterator[None]:
        """Say in a sentence what keeps a run from writing; what is done stays."""
        try:
            yield
        except OSError as cause:
            raise ScoringError(
                f"{self._output.parent} cannot be written to: {cause.strerror or cause}; once it can, the "
                "same command goes on where this one ends"
            ) from cause

    def _check_ours(self) -> None:
        """Refuse what no run has left: it is taken away when a run ends, and nobody else's may be."""
        foreign = _foreign(self.path)
        if foreign is not None:
            raise ScoringError(
                f"an unfinished run to {self._output} would be kept in the folder {self.path}, and {foreign} "
                "is of no run; move it away, or write elsewhere"
            )

    def _put(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a file that is there whole or not at all, whenever the machine stops."""
        path = self.path / f"{name}.tmp"
        write(path)
        _to_disk(path)
        path.replace(self.path / name)
        _to_disk(self.path)


def _foreign(folder: Path) -> Path | None:
    """Find what is no file of a run, or stands in the folder's own place."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        return folder
    return next((path for path in sorted(folder.glob("*")) if not _is_of_a_run(path)), None)


def _is_of_a_run(path: Path) -> bool:
    return bool(_OURS.fullmatch(path.name)) and not path.is_symlink() and not path.is_dir()


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Say what is not as it was."""
    return [
        f"{name} was {_short(before.get(name, 'none'))} and is {_short(now.get(name, 'none'))}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]


def _short(value: str) -> str:
    return f"{value[:_SHOWN]}…" if len(value) > _SHOWN else value


def _rows_of(path: Path) -> tuple[int, int]:
    _, first, end = path.stem.split("-")
    return int(first), int(end)


def _regrouped(paths: Sequence[Path], schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    """Give tables of so many rows, whatever parts they come from: the file is the same then."""
    tables = (parquet.ParquetFile(path).read(schema.names).cast(schema) for path in paths)
    return (table.combine_chunks() for table in of_size(tables, rows))


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(file: IO[bytes]) -> bool:
    """Take a lock that the system lets go of when the process ends, however it does."""
    try:
        import fcntl
    except ImportError:  # Windows has none
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
