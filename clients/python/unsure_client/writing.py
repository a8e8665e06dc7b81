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
