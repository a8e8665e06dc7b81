"""Answers turned on their side: one array a field, where the server says one object a row."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from unsure_client.errors import ModelChanged

Json: TypeAlias = Mapping[str, Any]
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]


class Columns:
    """The rows of the answers to one call.

    Args:
        answers: to its requests, in order.
        name: of the rows in each.

    Raises:
        ModelChanged: the requests were answered by different models.
    """

    def __init__(self, answers: Sequence[Json], name: str) -> None:
        self._rows: list[Json] = [row for answer in answers for row in answer[name]]
        self.request_ids: tuple[str, ...] = tuple(answer["request_id"] for answer in answers)
        self.head: Json = answers[0]
        _check_same(answers)

    def has(self, name: str) -> bool:
        """Tell whether rows have a field, and something in it."""
        return self._rows[0].get(name) is not None

    def floats(self, name: str) -> Floats:
        """Give numbers: [rows], or [rows, width] where a row has several. NaN stands for null."""
        return np.array(self.values(name), dtype=np.float64)

    def integers(self, name: str) -> Integers:
        """Give whole numbers, [rows]."""
        return np.array(self.values(name), dtype=np.int64)

    def flags(self, name: str) -> Flags:
        """Give what is true or false, [rows]."""
        return np.array(self.values(name), dtype=np.bool_)

    def values(self, name: str) -> list[Any]:
        """Give a field of every row as it is."""
        return [row[name] for row in self._rows]

    def nested(self, name: str, inner: str) -> Floats:
        """Give numbers of a field within a field, [rows, width]."""
        return np.array([row[inner] for row in self.values(name)], dtype=np.float64)


_SAME = ("model", "version", "seed", "policy")


def _check_same(answers: Sequence[Json]) -> None:
    """Hold answers that are to be one to one model: it may have been loaded anew between them."""
    told = [{name: answer.get(name) for name in _SAME} for answer in answers]
    if other := next((one for one in told if one != told[0]), None):
        name = next(name for name in _SAME if other[name] != told[0][name])
        raise ModelChanged(
            f"the model's {name} was {told[0][name]!r} and then {other[name]!r}, within one call: it was "
            "loaded anew; call again, or name a version"
        )
