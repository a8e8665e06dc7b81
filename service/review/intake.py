"""Lets rows in: those of all requests that wait together enter in one transaction.

A transaction costs a wait for the disk, whatever is in it. So one thread writes; what arrives meanwhile
waits, and enters with the next.
"""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue

from service.errors import Unavailable
from service.review.database import is_rows_fault
from service.review.items import Row
from service.review.store import Store

log = logging.getLogger("unsure")

_CLOSING_SECONDS = 5.0  # a database that hangs keeps no process from its end
_MOST_ROWS = 2000  # of one transaction, unless one request alone has more


class _Group:
    """The rows of one request, all of which enter, or none."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.entered: Future[list[str]] = Future()


class Intake:
    """Writes to a store from a thread of its own.

    Args:
        store: that is written to.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: SimpleQueue[_Group | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="reviews", daemon=True)
        self._writer.start()

    def enter(self, rows: Sequence[Row]) -> Future[list[str]]:
        """Let the rows of a request in.

        Returns:
            Their identifiers, once they are on the disk; or the error that kept them out. What is cancelled
            before its transaction begins does not enter.
        """
        group = _Group(rows)
        self._waiting.put(group)
        return group.entered

    def close(self) -> None:
        """Write what waits, and end."""
        self._waiting.put(None)
        self._writer.join(_CLOSING_SECONDS)

    def _write(self) -> None:
        going = True
        while going:
            groups, going = self._gathered()
            if groups:
                self._enter([group for group in groups if group.entered.set_running_or_notify_cancel()])

    def _gathered(self) -> tuple[list[_Group], bool]:
        """Wait for a group, and take along what waits behind it; tells whether there may be more to come."""
        groups: list[_Group] = []
        try:
            next_ = self._waiting.get()
            while next_ is not None:
                groups.append(next_)
                if sum(len(group.rows) for group in groups) >= _MOST_ROWS:
                    return groups, True
                next_ = self._waiting.get_nowait()
        except Empty:
            return groups, True
        return groups, False

    def _enter(self, groups: Sequence[_Group]) -> None:
        try:
            identifiers = iter(self._store.enter([row for group in groups for row in group.rows]))
        except Unavailable as error:
            if len(groups) > 1 and is_rows_fault(error):
                for group in groups:  # the others' rows are good
                    self._enter([group])
                return
            _fail(groups, error)
        except Exception:  # a fault of ours must not end the thread that all wait for
            log.exception("rows could not enter the review queue")
            _fail(groups, Unavailable("the server failed to write to the review queue; see its log"))
        else:
            for group in groups:
                group.entered.set_result([next(identifiers) for _ in group.rows])


def _fail(groups: Sequence[_Group], error: Unavailable) -> None:
    for group in groups:
        group.entered.set_exception(error)
