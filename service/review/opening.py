"""The queue as a command opens it, beside a server or without one."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import StartError
from service.review.database import Database
from service.review.store import Store

_PATIENCE_SECONDS = 30.0  # a person waits, and no request


@contextmanager
def opened(url: str | None, option: str, lease_seconds: float = 0.0) -> Iterator[Store]:
    """Open a queue that is there already.

    Args:
        url: of its database; None where there is no queue.
        option: of the command, by which a database is named.
        lease_seconds: how long a claim holds.

    Raises:
        StartError: there is none.
    """
    if url is None:
        raise StartError(f"there is no review queue: UNSURE_REVIEW_URL is off; name a database with {option}")
    database = Database(url, _PATIENCE_SECONDS)
    try:
        database.check_is_there(option)
        yield Store(database, lease_seconds)
    finally:
        database.close()
