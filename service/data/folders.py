"""The files of a folder by their names: the same ones in the same order on every machine."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from service.errors import DataError

_PASSED_OVER = "._"
"""What a name begins with that is no row's: marks of systems and of programs that write folders."""

_NUMBER = re.compile("[0-9]+")


def listed(folder: Path, *, deep: bool = False) -> list[str]:
    """Name the files of a folder, in natural order: 2.png is before 10.png, and a/2.png before b/1.png.

    Args:
        folder: that they lie in.
        deep: whether those of its folders are meant too; their names are paths then, as a/2.png.

    Raises:
        DataError: the folder cannot be read, or has something that must not be, which the text names.
    """
    names: list[str] = []
    inside = [""]
    try:
        while inside:
            for name, is_file in _entries(folder, inside.pop()):
                (names if is_file else inside).append(name)
            inside = inside if deep else []
    except OSError as cause:
        raise DataError(f"{cause.filename or folder} cannot be read: {cause.strerror}") from cause
    return sorted(sorted(names), key=_natural)


def _entries(folder: Path, inside: str) -> Iterator[tuple[str, bool]]:
    """Give the path of each file and folder in a folder, and whether it is a file."""
    with os.scandir(folder / inside) as entries:
        for entry in entries:
            if entry.name[0] in _PASSED_OVER:
                continue
            name = f"{inside}{entry.name}"
            _check_name(folder, name)
            if entry.is_symlink():
                _check_link(folder, name)
            if entry.is_file():
                yield name, True
            elif entry.is_dir():
                yield f"{name}/", False
            else:
                raise DataError(f"{folder / name} is neither a file nor a folder; take it away")


def _check_name(folder: Path, name: str) -> None:
    """Refuse what could not be written to an output."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"{folder} has a file whose name is not UTF-8, {name!r}; rename it") from None


def _check_link(folder: Path, name: str) -> None:
    """Refuse a link by which rows would come from elsewhere, or come twice."""
    path = folder / name
    try:
        root, target = (os.path.realpath(one, strict=True) for one in (folder, path))
    except OSError as cause:
        raise DataError(f"{path} is a link that leads nowhere: {cause.strerror}") from cause
    if os.path.commonpath([root, target]) != root:
        raise DataError(f"{path} is a link that leaves the folder; put the file itself there")
    if path.is_dir():
        raise DataError(f"{path} is a link to a folder; put the files themselves there")


def _natural(name: str) -> str:
    """Write each number behind the number of its digits: as texts they are in order then."""
    return _NUMBER.sub(_with_length, name).replace("/", "\0")


def _with_length(number: re.Match[str]) -> str:
    digits = number[0].lstrip("0")
    return f"{len(digits):03}{digits}"
