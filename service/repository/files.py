"""Files of a version, bound to what is recorded of them."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from service.errors import LoadError
from service.files import open_file, read_file

_RECORD_BYTES = 4096


def bound_digest(path: Path, error: type[LoadError]) -> str:
    """Give a file's SHA-256, in hexadecimal.

    Args:
        path: a file. Where one of the same name and ".sha256" lies beside it, in the format of sha256sum, the
            two must agree.
        error: to raise.

    Raises:
        LoadError: missing, a symbolic link, no file, larger than the memory, or altered.
    """
    with _opened(path, error) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    _check_recorded(path, digest, error)
    return digest


def bound_content(path: Path, error: type[LoadError], most_bytes: int) -> tuple[bytes, str]:
    """Read a file whole: gives its bytes, and their SHA-256 in hexadecimal; otherwise as `bound_digest`."""
    with _opened(path, error) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise error(f"{path} has more than the {most_bytes} bytes that are read of it")
    digest = hashlib.sha256(content).hexdigest()
    _check_recorded(path, digest, error)
    return content, digest


@contextmanager
def _opened(path: Path, error: type[LoadError]) -> Iterator[BufferedReader]:
    if path.is_symlink():
        raise error(f"{path} is a symbolic link; it must lie in the repository itself")
    if path.exists() and not path.is_file():
        raise error(f"{path} is not a file")
    try:
        file = open_file(path)
    except OSError as cause:
        raise error(f"{path} cannot be read: {cause.strerror}") from cause
    with file:
        size = os.fstat(file.fileno()).st_size
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if size > memory:
            raise error(f"{path} has {size:,} bytes, and this machine {memory:,} of memory")
        try:
            yield file
        except OSError as cause:
            raise error(f"{path} cannot be read: {cause.strerror}") from cause


def _check_recorded(path: Path, digest: str, error: type[LoadError]) -> None:
    record = path.with_name(f"{path.name}.sha256")
    if not (record.exists() or record.is_symlink()):
        return
    if record.is_symlink():
        raise error(f"{record} is a symbolic link; it must lie in the repository itself")
    if not record.is_file():
        raise error(f"{record} is not a file")
    try:
        recorded = read_file(record, _RECORD_BYTES).decode("utf-8", errors="replace").split()[:1]
    except OSError as cause:
        raise error(f"{record} cannot be read: {cause.strerror}") from cause
    if recorded != [digest]:
        raise error(
            f"{path} was altered: its SHA-256 is {digest}, and {record.name} says "
            f"{recorded[0] if recorded else 'nothing'}; restore the file, or delete the record to accept it"
        )
