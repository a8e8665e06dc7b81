"""What is scheduled: rows of a request that can run beside others of their kind."""

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any


class Caller:
    """Who waits for rows; long work asks now and then whether anybody still does."""

    def __init__(self) -> None:
        self._left = threading.Event()

    def leave(self) -> None:
        """Say that nobody waits any more."""
        self._left.set()

    @property
    def left(self) -> bool:
        """Whether nobody waits any more."""
        return self._left.is_set()


@dataclass(frozen=True)
class Lot:
    """Rows of one request that can run together with those of other lots of the same key.

    Args:
        key: what they run on, and all else that must be the same for rows to run together.
        content: whatever the runner makes of them.
        rows: how many, at least 1.
        cost: of one row, in samples.
        kind: what is as fast, by which its speed is remembered; None for the key.
    """

    key: Hashable
    content: Any
    rows: int
    cost: int = 1
    kind: Hashable = None

    @property
    def speed_kind(self) -> Hashable:
        """What its speed is remembered by."""
        return self.key if self.kind is None else self.kind


@dataclass(frozen=True)
class Part:
    """Some rows of a lot, which run in one go.

    Args:
        lot: whose.
        start: the first row.
        stop: one after the last.
        caller: who waits for them.
    """

    lot: Lot
    start: int
    stop: int
    caller: Caller

    @property
    def rows(self) -> int:
        """How many."""
        return self.stop - self.start


Runner = Callable[[Sequence[Part]], Sequence[Any]]
"""Runs parts of one key, of which there is at least one; gives a result for each, in their order."""
