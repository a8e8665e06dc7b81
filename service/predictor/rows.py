"""The rows of a request, those of one shape together, and answers back in the order of the request.

A mask's shape depends on a row's length, and with padding a row's answer would depend on the rows beside it.
So rows of different lengths run apart, unpadded, and each has the answer that it has alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.errors import ModelError

Array = NDArray[Any]
Inputs = tuple[Tensor, ...]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Group:
    """Rows of one shape.

    Args:
        numbers: of the rows within the request, from 0.
        inputs: one tensor per input, [rows of the group, …].
    """

    numbers: Sequence[int]
    inputs: Inputs


@dataclass(frozen=True)
class Rows:
    """The rows of a request.

    Args:
        groups: at least one, each of another shape.
    """

    groups: tuple[Group, ...]

    @classmethod
    def of(cls, inputs: Sequence[Array | list[Array]]) -> "Rows":
        """Group rows by their shapes.

        Args:
            inputs: per input all rows in one array, or row by row where their shapes differ.
        """
        if all(isinstance(rows, np.ndarray) for rows in inputs):
            return cls((_group(range(len(inputs[0])), inputs),))
        numbers: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        for number, row in enumerate(zip(*inputs, strict=True)):
            numbers.setdefault(tuple(part.shape for part in row), []).append(number)
        return cls(tuple(_group(those, inputs) for those in numbers.values()))

    def __len__(self) -> int:
        return sum(len(group.numbers) for group in self.groups)

    def run(self, work: Callable[[Inputs], Result]) -> Iterator[Result]:
        """Run each group; an error about a row of it names the row by its number in the request."""
        for group in self.groups:
            try:
                yield work(group.inputs)
            except ModelError as cause:
                raise cause.renumbered(group.numbers) from cause

    def in_order(self, parts: Sequence[Result]) -> Result:
        """Put what the groups gave together, in the order of the request.

        Args:
            parts: one of each group: arrays with rows first, lists with an entry a row, or dataclasses and
                dictionaries of such; anything else is taken to be the same for all groups.
        """
        return _joined(parts, self._order()) if len(self.groups) > 1 else parts[0]

    def _order(self) -> Array:
        return np.argsort([number for group in self.groups for number in group.numbers])


def _group(numbers: Sequence[int], inputs: Sequence[Array | list[Array]]) -> Group:
    whole = isinstance(numbers, range)
    arrays = (rows if whole else np.stack([rows[number] for number in numbers]) for rows in inputs)
    return Group(numbers, tuple(torch.from_numpy(array) for array in arrays))


def _joined(parts: Sequence[Any], order: Array) -> Any:
    first = parts[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)[order]
    if isinstance(first, list):
        every = [one for part in parts for one in part]
        return [every[index] for index in order]
    if isinstance(first, dict):
        return {key: _joined([part[key] for part in parts], order) for key in first}
    if is_dataclass(first) and not isinstance(first, type):
        names = [field.name for field in fields(first)]
        return type(first)(
            **{name: _joined([getattr(part, name) for part in parts], order) for name in names}
        )
    return first
