"""Making a key, and adding its entry to the file."""

import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from pathlib import Path
from tempfile import NamedTemporaryFile

from service.access.key_file import check_name, parsed, read_keys, read_text
from service.access.keys import SCOPES, Scope, digest, new_key
from service.errors import KeysError

_MODE = 0o600


def issue(path: Path, name: str, scopes: Iterable[Scope], expires: date | None = None) -> str:
    """Make a key, and add its entry to a file, which is made if there is none.

    Args:
        path: of the file; what it holds stays as it is, comments and permissions too.
        name: whose key it is.
        scopes: what it may; at least one.
        expires: the first day on which it is not taken any more; None for never.

    Returns:
        The key, which is kept nowhere.

    Raises:
        KeysError: the name is taken or is none, or the file is wrong or cannot be written.
    """
    check_name(name)
    key = new_key()
    path = path.resolve()  # or a link to the file would be replaced, and not the file
    before = _held(path)
    if any(known.name == name for known in parsed(before, path)):
        raise KeysError(
            f"the keys file {path} has a key of the name {name!r}; choose another, or delete that"
        )
    after = f"{_ended(before)}{_entry(name, key, scopes, expires)}"
    parsed(after, path)  # an entry cannot be added to every file: `key = []` is not open to more
    _replace(path, after)
    return key


def _held(path: Path) -> str:
    try:
        return read_text(path)
    except KeysError as cause:
        if isinstance(cause.__cause__, FileNotFoundError | NotADirectoryError):
            return ""
        raise


def listed(path: Path) -> list[str]:
    """Tell of each key of a file in one line: name, scopes, and when it expires.

    Raises:
        KeysError: the file cannot be read, or is wrong.
    """
    keys = read_keys(path)
    width = max((len(key.name) for key in keys), default=0)
    return [
        f"{key.name:<{width}}  {' '.join(scope for scope in SCOPES if scope in key.scopes)}"
        + (f"  expires {key.expires}" if key.expires else "")
        for key in keys
    ]


def _ended(text: str) -> str:
    """End a text so that an entry may follow."""
    return f"{text.rstrip()}\n\n" if text.strip() else ""


def _entry(name: str, key: str, scopes: Iterable[Scope], expires: date | None) -> str:
    chosen = set(scopes)
    shown = ", ".join(f'"{scope}"' for scope in SCOPES if scope in chosen)
    lines = ["[[key]]", f"name = {_quoted(name)}", f'hash = "sha256:{digest(key)}"', f"scopes = [{shown}]"]
    lines += [f"expires = {expires}"] if expires else []
    return "\n".join([*lines, ""])


def _quoted(name: str) -> str:
    """Write a TOML string; of what is printable, two characters mean something in one."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _replace(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            written = Path(file.name)
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                _keep_owner(file.fileno(), path)
                written.replace(path)
            except BaseException:
                written.unlink(missing_ok=True)
                raise
    except OSError as cause:
        raise KeysError(f"the keys file {path} cannot be written: {cause.strerror}") from cause


def _keep_owner(file: int, path: Path) -> None:
    """Let who could read the file before read it after."""
    before = path.stat() if path.exists() else None
    os.fchmod(file, before.st_mode & 0o777 if before else _MODE)
    if before:
        with suppress(PermissionError):
            os.fchown(file, before.st_uid, before.st_gid)
