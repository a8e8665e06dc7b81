"""SQLite's file, held to be the one that its path names for as long as it is used.

SQLite goes on with a file that was deleted or moved away: what is written then is nowhere that anybody looks.
And it takes the journal beside it by its name, whosever it is.

No part of it is mapped into memory: to touch a mapped page that cannot be read or written any more, as after
a fault of the disk, ends the whole process, and with it requests that have nothing to do with reviews. So
there is a rollback journal, and no log ahead (WAL), whose index the processes share as a mapped file.
"""

import errno
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

from service.review.file_locks import alone, wait_until

log = logging.getLogger("unsure")

WRITES = "unsure_writes"
IDENTITY = "unsure_identity"

_JOURNAL = "TRUNCATE"

CONNECTIONS = 5  # for those who ask, and the one that writes

Identity = tuple[int, int] | None
"""Device and number of a file; None where there is none."""


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
        self._engine = engine
        self._patience_seconds = patience_seconds
        self._opened: Identity | None = None
        # Held as long as the file is used: so no other gets its number.
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
            raise FileReplaced(f"{self._path} was deleted, moved or replaced meanwhile")

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Let go of the file that was, and have one, whose tables are made within; one process at a time.

        Nothing of this process may be using it.

        Raises:
            OSError: there can be none, or not yet.
        """
        with alone(Path(self._path).parent, self._patience_seconds):
            self._let_go()
            made = self._made()
            try:
                self._leave_log_ahead()
                yield
                self._connect()
                self.check(made)
                self._opened = made
            except BaseException:
                self._engine.dispose()
                self.close()
                raise

    def close(self) -> None:
        """Let go of it for good."""
        self._opened = None
        if self._anchor is not None:
            self._anchor.close()
            self._anchor = None

    def _let_go(self) -> None:
        if self._opened is not None:
            log.warning(
                "the review queue's file %s was deleted, moved or replaced while in use; what is there now "
                "is used from here on, and what entered before is in the file that was",
                self._path,
            )
            self._wait_for_others()
        self._engine.dispose()
        self.close()

    def _wait_for_others(self) -> None:
        """Let other processes end what they write to the file that was: its journal has the name of the next.

        A journal that stays is of a process that was killed. SQLite would take it for one of whatever file is
        there now, and write the pages of the other into it.
        """
        journal = Path(_beside(self._path, "-journal"))
        if not wait_until(lambda: not _size(journal), self._patience_seconds):
            journal.unlink(missing_ok=True)

    def _made(self) -> Identity:
        """Make the file where there is none, its owner's alone: it holds what clients have sent."""
        # Never open one that is there and in use here: closing it would drop the locks that SQLite has on it.
        with suppress(FileExistsError):
            made = os.open(os.path.realpath(self._path), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            os.close(made)
            for ending in ("-journal", "-wal", "-shm"):  # of a file that is gone
                Path(_beside(self._path, ending)).unlink(missing_ok=True)
        if not Path(self._path).is_file():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self._path)
        return self._identity()

    def _leave_log_ahead(self) -> None:
        """Have a file that an earlier version wrote take in its log ahead, and have none any more."""
        connection = sqlite3.connect(self._path, timeout=self._patience_seconds, isolation_level=None)
        try:
            # Who is alone keeps the index of the log in memory of its own, and maps nothing.
            for pragma in ("locking_mode = EXCLUSIVE", f"journal_mode = {_JOURNAL}"):
                connection.execute(f"PRAGMA {pragma}").close()
        finally:
            connection.close()

    def _connect(self) -> None:
        """Make all connections now: one made later might be to another file."""
        anchor = self._engine.raw_connection()
        anchor.detach()
        self._anchor = anchor.dbapi_connection  # type: ignore[assignment]
        for connection in [self._engine.raw_connection() for _ in range(CONNECTIONS)]:
            connection.close()

    def _begin(self, connection: Connection) -> None:
        # Who reads first and then writes is refused, not made to wait, where another has written meanwhile.
        options = connection.get_execution_options()
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(WRITES, False) else "BEGIN")
        # Only now: while it waited for another's transaction, much may have happened.
        if IDENTITY in options:
            self.check(options[IDENTITY])

    def _identity(self) -> Identity:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - a third of the time of Path.stat
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_dev, status.st_ino


def _set_up(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # or the driver commits before what it takes for no query
    try:
        # What is removed is overwritten: it was a client's.
        for pragma in (
            f"journal_mode = {_JOURNAL}",
            "synchronous = FULL",
            "secure_delete = ON",
            "mmap_size = 0",
        ):
            connection.execute(f"PRAGMA {pragma}").close()
    except sqlite3.Error:
        connection.close()  # or it lives as long as anybody has the error
        raise


def _beside(path: str, ending: str) -> str:
    """Name a file beside it: SQLite has them where a link leads."""
    return os.path.realpath(path) + ending


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
