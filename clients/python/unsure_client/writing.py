"""JSON of what callers give, arrays and numbers of numpy among it."""

import json
from typing import Any


def written(value: Any) -> bytes:
    """Write a value.

    Raises:
        ValueError: it holds NaN or an infinity, which JSON has not.
        TypeError: it holds what is no JSON.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain).encode()


def _plain(value: Any) -> Any:
    """Give an array or a number of numpy as Python has it; a tensor too."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__}")


def label_text(label: Any) -> str | None:
    """Give a label as its name: 3 and 3.0 are "3", True is "true"; numpy's the same; None stays None."""
    plain = label.item() if hasattr(label, "item") else label
    if plain is None or isinstance(plain, str):
        return plain
    if isinstance(plain, bytes):
        return plain.decode()
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return str(int(plain)) if isinstance(plain, float) and plain.is_integer() else str(plain)
