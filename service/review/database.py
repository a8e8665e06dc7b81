"""The queue's database: SQLite in one file, or PostgreSQL by its URL."""

import logging
import os
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
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from service.errors import StartError, Unavailable

log = logging.getLogger("unsure")

_LEAST_CONNECT_SECONDS = 2  # libpq takes less for 2
_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATING = 7_235_013  # the number of PostgreSQL's advisory lock, by which one process migrates at a time
_WRITES = "unsure_writes"

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
        self._preparing = threading.Lock()
        self._prepared = False

    @property
    def dialect(self) -> str:
        """Which database it is: sqlite or postgresql."""
        return self._engine.dialect.name

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a transaction that reads; raises as `writing` does."""
        with self._told():
            self._prepare()
            with self._engine.begin() as connection:
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction that is on the disk when this is left.

        Raises:
            Unavailable: the database does not do it.
        """
        with self._told():
            self._prepare()
            with self._engine.execution_options(**{_WRITES: True}).begin() as connection:
                yield connection

    def check_is_there(self) -> None:
        """Refuse a file that is not there, where making an empty one would hide a wrong name.

        Raises:
            StartError: it is not.
        """
        if self.dialect == "sqlite" and not Path(self._url.database or "").exists():
            raise StartError(
                f"there is no review queue at {self._url.database}; name its database with --url"
            )

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    def _prepare(self) -> None:
        """Make or migrate the tables, once; what fails is tried again the next time."""
        with self._preparing:
            if self._prepared:
                return
            _make_private(self._url)
            with self._engine.execution_options(**{_WRITES: True}).begin() as connection:
                _migrate(connection)
            self._prepared = True

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, CommandError, sqlite3.Error, OSError) as cause:
            # The driver's own words: SQLAlchemy's hold the statement's values, which are a row's.
            reason = getattr(cause, "orig", None) or cause
            shown = self._url.render_as_string(hide_password=True)
            log.error("the review queue's database %s failed: %s", shown, str(reason).strip())  # noqa: TRY400
            raise Unavailable(
                "the review queue's database does not answer; the server's log says why"
            ) from cause


def is_rows_fault(error: Unavailable) -> bool:
    """Tell whether a transaction failed for what was in it, so that others' rows might enter without."""
    return isinstance(error.__cause__, (DataError, IntegrityError))


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
    return parsed


def _engine(url: URL, patience_seconds: float) -> Engine:
    try:
        if url.get_backend_name() != "sqlite":
            return create_engine(url, pool_pre_ping=True, connect_args=_patience(url, patience_seconds))
        engine = create_engine(url, connect_args={"timeout": patience_seconds})
    except (NoSuchModuleError, ModuleNotFoundError, ArgumentError) as cause:
        raise StartError(
            f"the driver {url.drivername} is not installed; for PostgreSQL: pip install 'unsure[postgresql]'"
        ) from cause
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


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


def _set_up(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # or the driver commits before what it takes for no query
    for pragma in ("journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and then writes is refused, not made to wait, where another has written.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _make_private(url: URL) -> None:
    """Make SQLite's file its owner's alone: it holds what clients have sent."""
    if url.get_backend_name() == "sqlite" and url.database:
        os.close(os.open(url.database, os.O_CREAT | os.O_RDWR, 0o600))


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATING})"))
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    with _alembic:
        command.upgrade(config, "head")
