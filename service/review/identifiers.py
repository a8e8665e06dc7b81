"""Identifiers of items: later ones are greater, and none can be guessed (RFC 9562, version 7)."""

import re
import secrets
import threading
from uuid import UUID

_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COUNTER_BITS, _RANDOM_BITS = 12, 62
_VERSION, _VARIANT = 7 << 76, 2 << 62


class Identifiers:
    """Makes identifiers; within a process each is greater than the one before, whatever the clock does."""

    def __init__(self) -> None:
        self._last = 0
        self._making = threading.Lock()

    def new(self, now: float) -> str:
        """Make one.

        Args:
            now: in seconds since 1970.
        """
        with self._making:
            # Milliseconds and a counter below them, which carries over where it is full.
            self._last = max(self._last + 1, int(now * 1000) << _COUNTER_BITS)
            milliseconds, counter = divmod(self._last, 1 << _COUNTER_BITS)
        return str(
            UUID(
                int=milliseconds << 80 | _VERSION | counter << 64 | _VARIANT | secrets.randbits(_RANDOM_BITS)
            )
        )


def first_identifier(now: float) -> str:
    """Give what is not greater than any identifier made at a time or later, and greater than those of before.

    Args:
        now: in seconds since 1970.
    """
    return str(UUID(int=max(0, int(now * 1000)) << 80))


def time_of(identifier: str) -> float:
    """Give when an identifier was made, in seconds since 1970."""
    return (UUID(identifier).int >> 80) / 1000


def is_identifier(text: str) -> bool:
    """Tell whether a text may name an item; a database would not even take some that do not."""
    return _FORM.fullmatch(text) is not None
