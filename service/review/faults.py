"""What fails about a database, in words for who runs it: drivers name what they saw, and no way out."""

import errno
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from alembic.util import CommandError
from sqlalchemy.exc import InterfaceError, OperationalError


@dataclass(frozen=True)
class Fault:
    """One kind of failure.

    Args:
        what: it is, after "since".
        way_out: what a person should do.
    """

    what: str
    way_out: str


_ANOTHER = "or name another database with UNSURE_REVIEW_URL"

_FULL = Fault("its disk is full", "make room on it, and rows enter again")
_DISK = Fault(
    "its disk cannot be read or written",
    "look whether it is full or broken, and whether a limit on the size of files (ulimit -f) is reached",
)
_FORBIDDEN = Fault(
    "this process may not read and write its file",
    "let the user that it runs as do so, in the file's folder too, " + _ANOTHER,
)
_NO_FOLDER = Fault("the folder of its file is not there", f"make the folder, {_ANOTHER}")
_NO_FILE = Fault("its path is no file", f"move away what is there, {_ANOTHER}")
_NO_DATABASE = Fault("its file is no database of SQLite", f"move the file away, {_ANOTHER}")
_DAMAGED = Fault("its file is damaged", "put a backup in its place, or what sqlite3's .recover saves of it")
_HELD = Fault("another has it locked", "end what writes to it for so long; it is tried again")
_LATER = Fault("a later version of unsure has made it", f"run that version here, {_ANOTHER}")
_OTHERS = Fault(
    "it has tables of these names that this version did not make",
    "name another database with UNSURE_REVIEW_URL",
)
_EMPTIED = Fault(
    "its tables are gone",
    "put a backup in its place, or drop the table review_schema too: it is made anew then",
)
_READS_ONLY = Fault("it only reads", "name the one that takes writes with UNSURE_REVIEW_URL")
_REFUSED = Fault(
    "it refuses this user", "give the user of UNSURE_REVIEW_URL its password and its rights there"
)
_NOT_MADE = Fault("there is none of that name", f"make it with createdb, {_ANOTHER}")
_CROWDED = Fault("it takes no more connections", "raise its max_connections, or serve with fewer workers")
_SLOW = Fault(
    "it took too long", "look what holds or slows it; UNSURE_REVIEW_WRITE_SECONDS is how long it may take"
)
_AWAY = Fault(
    "it cannot be reached", "start it, or mend UNSURE_REVIEW_URL; it is tried again with every request"
)

_OF_ERRNO: Mapping[int | None, Fault] = {
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _DISK,
    errno.EIO: _DISK,
    errno.ENOENT: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EISDIR: _NO_FILE,
}
_OF_SQLITE: Mapping[int, Fault] = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _DISK,
    sqlite3.SQLITE_READONLY: _FORBIDDEN,
    sqlite3.SQLITE_CANTOPEN: _FORBIDDEN,
    sqlite3.SQLITE_PERM: _FORBIDDEN,
    sqlite3.SQLITE_NOTADB: _NO_DATABASE,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_BUSY: _HELD,
}
# SQLite has one code for all that a statement may ask in vain.
_OF_SQLITE_TEXT: Mapping[str, Fault] = {
    "no such table": _EMPTIED,
    "no such column": _OTHERS,
    "has no column": _OTHERS,
    "already exists": _OTHERS,
}
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_OF_POSTGRESQL: Mapping[str | None, Fault] = {
    "25006": _READS_ONLY,
    "28000": _REFUSED,
    "28P01": _REFUSED,
    "3D000": _NOT_MADE,
    "42501": _REFUSED,
    "42703": _OTHERS,
    "42P01": _EMPTIED,
    "42P07": _OTHERS,
    "53100": _FULL,
    "53300": _CROWDED,
    "55P03": _HELD,
    "57014": _SLOW,
}


def fault_of(cause: Exception) -> Fault | None:
    """Find out what kind a failure is of; None where its own words must do.

    Args:
        cause: as SQLAlchemy, Alembic, a driver or the system raised it.
    """
    if isinstance(cause, CommandError):
        return _LATER  # the one thing that an upgrade to the head may not find is what it starts from
    raised = getattr(cause, "orig", None) or cause
    if isinstance(raised, sqlite3.Error):
        return _of_sqlite(raised)
    if isinstance(raised, OSError):
        return _OF_ERRNO.get(raised.errno)
    is_away = isinstance(cause, InterfaceError | OperationalError)
    return _OF_POSTGRESQL.get(getattr(raised, "sqlstate", None), _AWAY if is_away else None)


def _of_sqlite(raised: sqlite3.Error) -> Fault | None:
    found = _OF_SQLITE.get(getattr(raised, "sqlite_errorcode", 0) & 0xFF)
    return found or next((fault for text, fault in _OF_SQLITE_TEXT.items() if text in str(raised)), None)
