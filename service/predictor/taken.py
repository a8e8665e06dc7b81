"""What clients send to a model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Taken:
    """One input as clients send it.

    Args:
        name: of the tensor.
        dtype: of its elements, as a manifest has it; or "string".
        shape: of one row; -1 is any length.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
