"""Keys and their scopes. Only a key's hash is ever kept."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

Scope = Literal["predict", "review", "admin"]

SCOPES: tuple[Scope, ...] = get_args(Scope)
"""What a key may be allowed; none includes another."""

_MARK = "unsure_"  # by which a scanner of source code recognises a key that was committed
_RANDOM_BYTES = 32


@dataclass(frozen=True)
class Key:
    """A key as the server knows it.

    Args:
        name: whose it is.
        digest: SHA-256 of the key's text, in lower-case hexadecimal.
        scopes: what it may.
        expires: the first day, in UTC, on which it is not taken any more; None for never.
    """

    name: str
    digest: str
    scopes: frozenset[Scope]
    expires: date | None = None


def new_key() -> str:
    """Make a key of 256 random bits."""
    return _MARK + secrets.token_urlsafe(_RANDOM_BYTES)


def digest(key: str) -> str:
    """Give the SHA-256 of a key, in hexadecimal.

    A slow hash is for passwords, which can be guessed: 256 random bits cannot.
    """
    return hashlib.sha256(key.encode()).hexdigest()
