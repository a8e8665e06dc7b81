"""A folder to build a version in, and what becomes of those whose command was killed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from service.errors import AdditionRefused

_PREFIX = ".adding-"  # the server passes over what begins with a dot


@contextmanager
def hidden_folder(repository: Path) -> Iterator[Path]:
    """Give a folder that the server passes over, on the same disk as the repository; it goes in the end.

    Args:
        repository: made if it is missing, and taken away again if nothing is in it by then.

    Raises:
        AdditionRefused: it cannot be written to.
    """
    there_before = repository.exists()
    try:
        repository.mkdir(parents=True, exist_ok=True)
        hidden, lock = _made(repository)
    except OSError as cause:
        raise AdditionRefused(f"{repository} cannot be written to: {cause.strerror}") from cause
    try:
        yield hidden
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
        os.close(lock)
        if not there_before:
            with suppress(OSError):  # it has the model
                repository.rmdir()


def _made(repository: Path) -> tuple[Path, int]:
    """Make a folder, and hold its lock, by which others know that somebody still builds in it."""
    turn = os.open(repository, os.O_RDONLY)
    try:
        _lock(turn, fcntl.LOCK_EX)  # nobody clears away between the folder and its lock
        _clear_away(repository)
        hidden = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=repository))
        descriptor = os.open(hidden, os.O_RDONLY)
        _lock(descriptor, fcntl.LOCK_EX)
        return hidden, descriptor
    finally:
        os.close(turn)


def _clear_away(repository: Path) -> None:
    """Remove what was left by commands that were killed: with a process its locks end."""
    for left in repository.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            descriptor = os.open(left, os.O_RDONLY)
            try:
                if _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(descriptor)


def _lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except OSError:  # somebody has it; or the disk knows no locks, and nothing is cleared away
        return False
    return True
