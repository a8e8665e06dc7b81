"""Locks by which the processes that use one file of SQLite's keep out of each other's way."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock, lockf
from pathlib import Path

_LOOK_SECONDS = 0.01
_SHARED_FIRST, _SHARED_BYTES = 0x4000_0002, 510  # where each connection of SQLite's keeps a lock


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
        _wait_for(lambda: _locked(descriptor), patience_seconds, f"another process opens a queue in {folder}")
        yield
    finally:
        os.close(descriptor)


def is_open_elsewhere(path: str) -> bool:
    """Tell whether another process has a connection to a file; this one must have none.

    Args:
        path: of SQLite's file.
    """
    descriptor = os.open(path, os.O_RDWR)
    try:
        lockf(descriptor, LOCK_EX | LOCK_NB, _SHARED_BYTES, _SHARED_FIRST)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _locked(descriptor: int) -> bool:
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for(happened: Callable[[], bool], seconds: float, otherwise: str) -> None:
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() >= end:
            raise TimeoutError(otherwise)
        time.sleep(_LOOK_SECONDS)
