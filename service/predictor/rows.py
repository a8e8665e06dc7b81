"""The rows of a request, those of one shape together, and answers back in the order of the request.

A mask's shape depends on a row's length, and with padding a row's answer would depend on the rows beside it.
So rows of different lengths run apart, unpadded, and each has the answer that it has alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.predictor.tokenized import TokenizedText

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

    def __len__(self) -> int:
        return len(self.numbers)

    def part(self, start: int, stop: int) -> "Group":
        """Give some of its rows."""
        whole = (start, stop) == (0, len(self))
        return (
            self
            if whole
            else Group(self.numbers[start:stop], tuple(rows[start:stop] for rows in self.inputs))
        )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of one row, per input."""
        return tuple(tuple(tensor.shape[1:]) for tensor in self.inputs)


@dataclass(frozen=True)
class Rows:
    """The rows of a request.

    Args:
        groups: at least one, each of another shape.
        texts: all rows, where their tokens are labelled.
    """

    groups: tuple[Group, ...]
    texts: Sequence[TokenizedText] = ()

    @classmethod
    def of(cls, inputs: Sequence[Array | list[Array]], texts: Sequence[TokenizedText] = ()) -> "Rows":
        """Group rows by their shapes.

        Args:
            inputs: per input all rows in one array, or row by row where their shapes differ.
            texts: of the rows, where their tokens are labelled.
        """
        if all(isinstance(rows, np.ndarray) for rows in inputs):
            return cls((_group(range(len(inputs[0])), inputs),), texts)
        numbers: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        for number, row in enumerate(zip(*inputs, strict=True)):
            numbers.setdefault(tuple(part.shape for part in row), []).append(number)
        return cls(tuple(_group(those, inputs) for those in numbers.values()), texts)

    def __len__(self) -> int:
        return sum(len(group.numbers) for group in self.groups)

    def in_order(self, parts: Sequence[Result]) -> Result:
        """Put what the groups gave together, in the order of the request.

        Args:
            parts: of the groups' rows, one after another: arrays with rows first, lists with an entry a row,
                or dataclasses and dictionaries of such; anything else is taken to be the same for all parts.
        """
        return _joined(parts, self._order()) if len(parts) > 1 else parts[0]

    def _order(self) -> Array:
        return np.argsort([number for group in self.groups for number in group.numbers])


def parted(whole: Result, sizes: Sequence[int]) -> list[Result]:
    """Cut what several requests gave together into each one's part; the inverse of joining."""
    if len(sizes) == 1:
        return [whole]
    ends = list(accumulate(sizes))
    return _parts(whole, [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)])


def _parts(whole: Any, slices: Sequence[slice]) -> list[Any]:
    """Cut column by column: a batch has a few dozen columns, and as many requests."""
    if isinstance(whole, (np.ndarray, list)):
        return [whole[rows] for rows in slices]
    if isinstance(whole, dict):
        columns = [_parts(column, slices) for column in whole.values()]
        return [dict(zip(whole, values, strict=True)) for values in zip(*columns, strict=True)]
    if is_dataclass(whole) and not isinstance(whole, type):
        columns = [_parts(getattr(whole, field.name), slices) for field in fields(whole)]
        return [type(whole)(*values) for values in zip(*columns, strict=True)]
    return [whole] * len(slices)


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
