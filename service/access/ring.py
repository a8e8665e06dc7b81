"""The keys that the server takes now: those of a file, read again when it changes."""

import hmac
import logging
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from time import monotonic

from service.access.key_file import read_keys
from service.access.keys import Key, digest
from service.errors import KeysError, Unauthorized

log = logging.getLogger("unsure")

CHECK_SECONDS = 1.0
"""How often at most the file is looked at."""

_Stamp = tuple[int, int, int] | None


def _today() -> date:
    return datetime.now(UTC).date()


class KeyRing:
    """The keys of a file. One that is broken or gone while the server runs leaves the keys as they were.

    Args:
        path: of the file.
        clock: gives seconds, from anywhere.
        today: gives the day, in UTC.

    Raises:
        KeysError: the file cannot be read, or is wrong.
    """

    def __init__(
        self, path: Path, clock: Callable[[], float] = monotonic, today: Callable[[], date] = _today
    ) -> None:
        self._path = path
        self._clock = clock
        self._today = today
        # Looked at before it is read: what changes in between is read again.
        self._stamp = _stamp(path)
        self._keys = read_keys(path)
        self._looked = clock()
        self._failure = ""
        if not self._keys:
            log.warning("the keys file %s holds no key: nobody may ask anything", path)

    def key(self, sent: str) -> Key:
        """Give the key that a client has sent.

        Raises:
            Unauthorized: it is none of the file, or has expired.
        """
        self._refresh()
        found = self._find(digest(sent))
        if found is None:
            raise Unauthorized("the key is none of this server's, or was revoked; ask its operator for one")
        if found.expires is not None and self._today() >= found.expires:
            raise Unauthorized(
                f"the key has expired on {found.expires}; ask the server's operator for another"
            )
        return found

    def _find(self, sent: str) -> Key | None:
        """Compare with every key: how long that takes tells nothing."""
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, sent):
                found = key
        return found

    def _refresh(self) -> None:
        now = self._clock()
        if now - self._looked < CHECK_SECONDS:
            return
        self._looked = now
        stamp = _stamp(self._path)
        # What could not be read is tried again: it may be a permission that has changed, and not the file.
        if stamp != self._stamp or self._failure:
            self._stamp = stamp
            self._read()

    def _read(self) -> None:
        try:
            self._keys = read_keys(self._path)
        except KeysError as cause:
            self._tell(str(cause))
        else:
            self._failure = ""
            log.info("the keys file %s has changed, and holds %d keys now", self._path, len(self._keys))

    def _tell(self, failure: str) -> None:
        """Log why the file could not be read, once and not every second."""
        if failure != self._failure:
            self._failure = failure
            log.error("%s; the %d keys read before stay in use", failure, len(self._keys))


def _stamp(path: Path) -> _Stamp:
    """Tell one state of a file from another; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
