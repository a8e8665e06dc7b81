"""The TOML file of keys, read strictly."""

import re
import tomllib
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import msgspec
from msgspec import Struct

from service.access.keys import SCOPES, Key, Scope
from service.errors import KeysError

_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_LONGEST_NAME = 64


class _Entry(Struct, forbid_unknown_fields=True):
    name: str
    hash: str
    scopes: list[Scope]
    expires: date | None = None


class _File(Struct, forbid_unknown_fields=True):
    key: list[_Entry] = []


def read_keys(path: Path) -> tuple[Key, ...]:
    """Read a file of keys.

    Raises:
        KeysError: it cannot be read, or is wrong; the text names the file and the key.
    """
    return parsed(read_text(path), path)


def read_text(path: Path) -> str:
    """Read a file of keys as text.

    Raises:
        KeysError: it cannot be read.
    """
    try:
        if path.exists() and not path.is_file():  # to read a pipe is to wait for it
            raise KeysError(f"the keys file {path} is not a file")
        return path.read_text("utf-8")
    except OSError as cause:
        raise KeysError(f"the keys file {path} cannot be read: {cause.strerror}") from cause
    except UnicodeDecodeError as cause:
        raise KeysError(f"the keys file {path} is not UTF-8 text") from cause


def parsed(text: str, path: Path) -> tuple[Key, ...]:
    """Read keys from the text of a file.

    Args:
        text: TOML.
        path: where it is from, for the errors.

    Raises:
        KeysError: it is wrong.
    """
    try:
        entries = msgspec.convert(tomllib.loads(text), _File).key
    except msgspec.ValidationError as cause:
        raise KeysError(f"the keys file {path}: {_in_words(str(cause))}") from cause
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as cause:
        raise KeysError(f"the keys file {path} is not valid TOML: {cause}") from cause
    keys = tuple(_key(entry, path) for entry in entries)
    _check_unique("name", [key.name for key in keys], path)
    _check_unique("hash", [key.digest for key in keys], path)
    return keys


def check_name(name: str) -> None:
    """Refuse a name that would not stand on one line of a file or a log.

    Raises:
        KeysError: it is empty, too long, or not printable.
    """
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise KeysError(f"a key's name must be 1 to {_LONGEST_NAME} printable characters, and is {name!r}")


def _key(entry: _Entry, path: Path) -> Key:
    try:
        check_name(entry.name)
    except KeysError as cause:
        raise KeysError(f"the keys file {path}: {cause}") from cause
    found = _HASH.fullmatch(entry.hash)
    if not found:
        # Not repeated: who mistakes the one for the other has put the key itself there.
        raise KeysError(
            f"the keys file {path}: the hash of key {entry.name!r} must be sha256: and 64 of 0-9a-f, "
            "as `unsure keys create` writes it"
        )
    if not entry.scopes:
        raise KeysError(f"the keys file {path}: key {entry.name!r} has no scopes; give {_known_scopes()}")
    return Key(entry.name, found[1], frozenset(entry.scopes), entry.expires)


def _check_unique(what: str, values: Sequence[str], path: Path) -> None:
    for value in values:
        if values.count(value) > 1:
            raise KeysError(f"the keys file {path}: two keys have the {what} {value!r}; each needs its own")


def _in_words(message: str) -> str:
    """Put the place first: "Expected `str`, got `int` - at `$.key[0].name`" begins with "key[0].name:"."""
    text, _, where = message.partition(" - at `$")
    place = where.rstrip("`").lstrip(".")
    if "unknown field" in text:
        name = text.split("`")[1]
        return f"unknown key {f'{place}.{name}' if place else name}; known are name, hash, scopes, expires"
    if "enum value" in text:
        text += f"; scopes are {_known_scopes()}"
    return f"{place}: {text[0].lower()}{text[1:]}" if place else text


def _known_scopes() -> str:
    return ", ".join(SCOPES)
