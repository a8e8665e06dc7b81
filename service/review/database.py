"""The queue's database: SQLite in one file, or PostgreSQL by its URL."""

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from service.errors import StartError, Unavailable
from service.review.faults import Fault, fault_of
from service.review.sqlite_file import CONNECTIONS, IDENTITY, WRITES, FileReplaced, SqliteFile

log = logging.getLogger("unsure")

_LEAST_CONNECT_SECONDS = 2  # libpq takes less for 2
_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATING = 7_235_013  # the number of PostgreSQL's advisory lock, by which one process migrates at a time
_ROWS_FAULTS = (DataError, IntegrityError)

# Alembic hands the connection to a migration through variables of its modules.
_alembic = threading.Lock()


class Database:
    """Gives transactions; its tables are made, or migrated, before the first.

    Args:
        url: of the database, as SQLAlchemy has it.
        patience_seconds: how long a connection, a statement, or another's transaction is waited for.

    Raises:
        StartError: it is no such URL, or one of a database that would forget.
    """

    def __init__(self, url: str, patience_seconds: float = 5.0) -> None:
        self._url = _checked(url)
        self._engine = _engine(self._url, patience_seconds)
        self._file = SqliteFile(self._engine, patience_seconds) if self.dialect == "sqlite" else None
        self._patience_seconds = patience_seconds
        self._preparing = threading.Condition()
        self._transactions = 0  # that go on
        self._prepared = False
        # What fails, each told once, and whether writes met it.
        self._failing: dict[Fault | None, bool] = {}

    @property
    def dialect(self) -> str:
        """Which database it is: sqlite or postgresql."""
        return self._engine.dialect.name

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a transaction that reads; raises as `writing` does."""
        with self._told(writes=False), self._begun() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction that is on the disk when this is left.

        Raises:
            Unavailable: the database does not do it.
        """
        with self._told(writes=True):
            with self._begun(**{WRITES: True}) as connection:
                yield connection
                options = connection.get_execution_options()
            if self._file is not None:
                self._file.check(options[IDENTITY])

    def check_is_there(self, option: str) -> None:
        """Refuse a file that is not there, where making an empty one would hide a wrong name.

        Args:
            option: of the command, by which it is named.

        Raises:
            StartError: it is not.
        """
        if self.dialect == "sqlite" and not Path(self._url.database or "").exists():
            raise StartError(
                f"there is no review queue at {self._url.database}; name its database with {option}"
            )

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()
        if self._file is not None:
            self._file.close()

    @contextmanager
    def _begun(self, **options: bool) -> Iterator[Connection]:
        with self._preparing:
            self._prepare()
            whose = {} if self._file is None else {IDENTITY: self._file.opened}
            self._transactions += 1
        try:
            with self._engine.execution_options(**options, **whose).begin() as connection:
                yield connection
        finally:
            with self._preparing:
                self._transactions -= 1
                self._preparing.notify_all()

    def _prepare(self) -> None:
        """Make or migrate the tables of a database that was not asked yet; what fails is tried again."""
        if self._file is None:
            if not self._prepared:
                self._migrate()
                self._prepared = True
        elif not self._file.is_as_opened():
            self._reopen(self._file)

    def _reopen(self, file: SqliteFile) -> None:
        if not self._preparing.wait_for(lambda: not self._transactions, self._patience_seconds):
            raise TimeoutError(f"{self._shown} is in use as it was before")
        if not file.is_as_opened():  # by another thread, meanwhile
            try:
                self._open(file)
            except FileReplaced:  # as where another process has just let go of it
                self._open(file)

    def _open(self, file: SqliteFile) -> None:
        with file.opening():
            self._migrate()

    def _migrate(self) -> None:
        with self._engine.execution_options(**{WRITES: True}).begin() as connection:
            _migrate(connection)

    @contextmanager
    def _told(self, *, writes: bool) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, CommandError, sqlite3.Error, OSError) as cause:
            fault = fault_of(cause)
            self._tell(cause, fault, writes=writes)
            since = "" if fault is None else f", since {fault.what}"
            raise Unavailable(
                f"the review queue's database does not answer{since}; the server's log says why"
            ) from cause
        if self._failing:
            # A full disk is read as ever: only what is written shows that there is room again.
            self._failing = {} if writes else {fault: True for fault, met in self._failing.items() if met}
            if not self._failing:
                log.info("the review queue's database answers again")

    def _tell(self, cause: Exception, fault: Fault | None, *, writes: bool) -> None:
        """Log what a person should know: of a database that is down, that it went down."""
        # The driver's own words: SQLAlchemy's hold the statement's values, which are a row's.
        reason = " ".join(str(getattr(cause, "orig", None) or cause).split())
        if fault is not None:
            reason = f"{fault.what} ({reason}); {fault.way_out}"
        level = logging.DEBUG if fault in self._failing else logging.ERROR
        log.log(level, "the review queue's database %s failed: %s", self._shown, reason)
        if not isinstance(cause, _ROWS_FAULTS):  # which say nothing of the database
            self._failing = self._failing | {fault: writes or self._failing.get(fault, False)}

    @property
    def _shown(self) -> str:
        return self._url.render_as_string(hide_password=True)


def is_rows_fault(error: Unavailable) -> bool:
    """Tell whether a transaction failed for what was in it, so that others' rows might enter without."""
    return isinstance(error.__cause__, _ROWS_FAULTS)


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as cause:
        raise StartError(
            "the review queue's URL is none; it looks like sqlite:///reviews.db or "
            "postgresql+psycopg://user@host/database, or is off"
        ) from cause
    kind = parsed.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise StartError(f"the review queue is kept by sqlite or postgresql, and not by {kind}")
    if kind == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StartError("the review queue must outlive the server: name a file, as in sqlite:///reviews.db")
    if kind == "sqlite" and str(parsed.database).startswith("file:"):
        raise StartError(
            "the review queue's file is named by its path, as in sqlite:///reviews.db, and not as "
            f"{parsed.database}"
        )
    return parsed


def _engine(url: URL, patience_seconds: float) -> Engine:
    try:
        if url.get_backend_name() != "sqlite":
            return create_engine(url, pool_pre_ping=True, connect_args=_patience(url, patience_seconds))
        return create_engine(
            url, connect_args={"timeout": patience_seconds}, pool_size=CONNECTIONS, max_overflow=0
        )
    except (NoSuchModuleError, ModuleNotFoundError, ArgumentError) as cause:
        raise StartError(
            f"the driver {url.drivername} is not installed; for PostgreSQL: pip install 'unsure[postgresql]'"
        ) from cause


def _patience(url: URL, seconds: float) -> dict[str, Any]:
    """Tell libpq and the server when to give up; an option of the URL's own goes before."""
    milliseconds = max(1, int(seconds * 1000))
    options = " ".join((
        f"-c statement_timeout={milliseconds}",
        f"-c idle_in_transaction_session_timeout={milliseconds}",
    ))  # fmt: skip
    given = {
        "connect_timeout": max(_LEAST_CONNECT_SECONDS, ceil(seconds)),
        # A host that is gone without a word: nothing that was sent is confirmed.
        "tcp_user_timeout": milliseconds,
        "options": options,
    }
    return {name: value for name, value in given.items() if name not in url.query}


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATING})"))
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    with _alembic:
        command.upgrade(config, "head")
