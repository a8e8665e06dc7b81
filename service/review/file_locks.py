"""Locks by which the processes that use one file of SQLite's keep out of each other's way."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

_LOOK_SECONDS = 0.01


@contextmanager
def alone(folder: Path, patience_seconds: float) -> Iterator[None]:
    """Have a folder's lock, which ends with the process at the latest.

    Args:
        folder: that exists.
        patience_seconds: how long another process is waited for.

    Raises:
        OSError: there is no such folder, or another process has the lock.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not wait_until(lambda: _locked(descriptor), patience_seconds):
            raise TimeoutError(f"another process opens a queue in {folder}")
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds, so long at most; tells whether it does."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(_LOOK_SECONDS)
    return True
