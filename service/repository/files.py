"""Files of a version, bound to what is recorded of them."""

import hashlib
from pathlib import Path

from service.errors import LoadError


def bound_digest(path: Path, error: type[LoadError]) -> str:
    """Give a file's SHA-256, in hexadecimal.

    Args:
        path: a file. Where one of the same name and ".sha256" lies beside it, in the format of sha256sum, the
            two must agree.
        error: to raise.

    Raises:
        LoadError: missing, a symbolic link, or altered.
    """
    digest = _digest(path, error)
    _check_recorded(path, digest, error)
    return digest


def _digest(path: Path, error: type[LoadError]) -> str:
    if path.is_symlink():
        raise error(f"{path} is a symbolic link; it must lie in the repository itself")
    if path.exists() and not path.is_file():
        raise error(f"{path} is not a file")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
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
    recorded = record.read_text("utf-8", errors="replace").split()[:1]
    if recorded != [digest]:
        raise error(
            f"{path} was altered: its SHA-256 is {digest}, and {record.name} says "
            f"{recorded[0] if recorded else 'nothing'}; restore the file, or delete the record to accept it"
        )
