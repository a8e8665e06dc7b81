"""SQLite's file, held to be the one that its path names for as long as it is used.

SQLite goes on with a file that was deleted or moved away: what is written then is nowhere that anybody looks.
And it takes the files beside it (the log ahead, and the memory that processes share) by their names, whosever
they are.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

from service.review.file_locks import alone, is_open_elsewhere

log = logging.getLogger("unsure")

WRITES = "unsure_writes"
IDENTITY = "unsure_identity"

CONNECTIONS = 5  # for those who ask, and the one that writes

# Device and number of the file, of its log ahead and of its shared memory; None for one that is not there.
Identity = tuple[tuple[int, int] | None, ...]


class FileReplaced(OSError):
    """The path names another file than the one that is open, or none."""


class SqliteFile:
    """The file of an engine's connections.

    Args:
        engine: whose transactions it begins.
        patience_seconds: how long other processes, and this one's transactions, are waited for.
    """

    def __init__(self, engine: Engine, patience_seconds: float) -> None:
        (path,), _ = engine.dialect.create_connect_args(engine.url)
        self._path = str(path)
        self._paths = _paths(self._path)
        self._engine = engine
        self._patience_seconds = patience_seconds
        self._opened: Identity | None = None
        # Held as long as the file is used: so the files beside it stay, and no other gets its number.
        self._anchor: sqlite3.Connection | None = None
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", self._begin)

    @property
    def opened(self) -> Identity | None:
        """What it was when it was opened; None before."""
        return self._opened

    def is_as_opened(self) -> bool:
        """Tell whether it was opened, and the path names it still."""
        return self._opened is not None and self._identity() == self._opened

    def check(self, identity: Identity | None) -> None:
        """Refuse what was done to a file that is not there.

        Raises:
            FileReplaced: the path does not name what it did.
        """
        if self._identity() != identity:
            raise FileReplaced(f"{self._path}, or a file beside it, was deleted, moved or replaced meanwhile")

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Let go of the file that was, and have one, whose tables are made within; one process at a time.

        Nothing of this process may be using it: connections of a process to one file share their memory, and
        an old one would hand it to the new.

        Raises:
            OSError: there can be none, or not yet.
        """
        with alone(Path(self._path).parent, self._patience_seconds):
            self._let_go()
            before = self._made()
            try:
                yield
                first = self._identity()
                self._connect()
                self._opened = self._checked(before, first)
            except BaseException:
                self._engine.dispose()
                self.close()
                self._remove_begun(before)
                raise

    def close(self) -> None:
        """Let go of it for good."""
        self._opened = None
        if self._anchor is not None:
            self._anchor.close()
            self._anchor = None

    def _let_go(self) -> None:
        opened, anchor = self._opened, self._anchor
        self._paths = _paths(self._path)
        if opened is not None and anchor is not None:
            now = self._identity()
            log.warning(
                "the review queue's file %s, or one beside it, was deleted, moved or replaced while in use; "
                "what is there now is used from here on, and what entered before is in the file that was",
                self._path,
            )
            self._bring_home(anchor, opened, now)
            self._remove_left(opened, now)
        self._engine.dispose()
        self.close()

    def _bring_home(self, anchor: sqlite3.Connection, opened: Identity, now: Identity) -> None:
        """Write what the log ahead holds into its file, wherever that is now: SQLite does so no more."""
        is_same_file = now[0] == opened[0]
        if is_same_file and now[1] != opened[1] and _size(self._paths[1]):
            return  # another process wrote since: to write below it would damage the file
        try:
            # Whoever has begun to write has ended then; who begins later finds that the files are others.
            anchor.execute("BEGIN IMMEDIATE").close()
            anchor.execute("ROLLBACK").close()
            busy, _, _ = anchor.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        except sqlite3.Error as cause:
            # Full or in use: it will not be so for ever.
            if is_same_file and cause.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
                raise
            log.warning("what entered the review queue last may not be in the file that was: %s", cause)
        else:
            if busy:
                raise TimeoutError(f"{self._path} is read by another process as it was before")

    def _remove_left(self, opened: Identity, now: Identity) -> None:
        """Remove what is left beside it: to SQLite it would be of whatever file is there now."""
        for path, was, is_ in zip(self._paths[1:], opened[1:], now[1:], strict=True):
            if is_ is not None and is_ == was:
                Path(path).unlink()

    def _made(self) -> Identity:
        """Make the file where there is none, its owner's alone: it holds what clients have sent."""
        # Never open one that is there and in use here: closing it would drop the locks that SQLite has on it.
        with suppress(FileExistsError):
            made = os.open(os.path.realpath(self._path), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            os.close(made)
            for path in self._paths[1:]:  # of a file that is gone
                Path(path).unlink(missing_ok=True)
        found = self._identity()
        # Who has the file open has those that stood beside it: others here would write over what they write.
        if None in found[1:] and is_open_elsewhere(self._path):
            raise FileReplaced(f"files beside {self._path} are gone, and another process still has them open")
        return found

    def _connect(self) -> None:
        """Make all connections now: one made later might be to other files."""
        anchor = self._engine.raw_connection()
        anchor.detach()
        self._anchor = anchor.dbapi_connection  # type: ignore[assignment]
        for connection in [self._engine.raw_connection() for _ in range(CONNECTIONS)]:
            connection.close()

    def _checked(self, before: Identity, first: Identity) -> Identity:
        now = self._identity()
        is_other = any(was not in (None, is_) for was, is_ in zip(before, now, strict=True))
        if now != first or is_other or (None in now and _journal(self._anchor) == "wal"):
            raise FileReplaced(f"{self._path} was deleted, moved or replaced while it was opened")
        return now

    def _remove_begun(self, before: Identity) -> None:
        """Remove what was begun in place of what others have open; they would not know of it."""
        now = self._identity()
        if now[0] == before[0]:
            for path, was, is_ in zip(self._paths[1:], before[1:], now[1:], strict=True):
                if was is not None and is_ not in (None, was):
                    Path(path).unlink(missing_ok=True)

    def _begin(self, connection: Connection) -> None:
        # Who reads first and then writes is refused, not made to wait, where another has written meanwhile.
        options = connection.get_execution_options()
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(WRITES, False) else "BEGIN")
        # Only now: while it waited for another's transaction, much may have happened.
        if IDENTITY in options:
            self.check(options[IDENTITY])

    def _identity(self) -> Identity:
        return tuple(_number(path) for path in self._paths)


def _set_up(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # or the driver commits before what it takes for no query
    try:
        # What is removed is overwritten: it was a client's.
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}").close()
    except sqlite3.Error:
        connection.close()  # or it lives as long as anybody has the error
        raise


def _journal(connection: sqlite3.Connection | None) -> str | None:
    found = None if connection is None else connection.execute("PRAGMA journal_mode").fetchone()
    return None if found is None else str(found[0])


def _paths(path: str) -> tuple[str, ...]:
    """Name the file and those beside it: SQLite has them where a link leads."""
    return path, *(os.path.realpath(path) + ending for ending in ("-wal", "-shm"))


def _number(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - a third of the time of Path.stat
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0
