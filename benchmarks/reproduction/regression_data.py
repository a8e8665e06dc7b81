"""Regression sets from a folder, and the splits that published figures are of."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TRAIN_SHARE = 0.9
VALIDATION_FROM = 0.8  # of the training rows, in the order of the split

_SPLITS_SEED = 1


@dataclass(frozen=True)
class Table:
    """Rows in their own units.

    Args:
        inputs: [rows, features].
        targets: [rows].
    """

    inputs: Array
    targets: Array

    def __len__(self) -> int:
        return len(self.targets)

    def taken(self, rows: NDArray[np.int64] | slice) -> "Table":
        """Give some of the rows."""
        return Table(self.inputs[rows], self.targets[rows])


@dataclass(frozen=True)
class Fold:
    """What a network learns from, and what it is asked."""

    learn: Table
    ask: Table


def read_table(path: Path) -> Table:
    """Read a CSV file whose first line names its columns, and whose last column is the target.

    Raises:
        ValueError: it holds something else than numbers.
    """
    values = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    return Table(values[:, :-1], values[:, -1])


def published_folds(table: Table, splits: int) -> list[Fold]:
    """Split rows as Gal & Ghahramani (2016) did: a permutation a split, of one generator for all."""
    return [_fold(table, order, round(TRAIN_SHARE * len(table))) for order in _orders(len(table), splits)]


def validation_fold(fold: Fold) -> Fold:
    """Hold back the last fifth of what a fold learns from."""
    rows = len(fold.learn)
    return _fold(fold.learn, np.arange(rows), int(VALIDATION_FROM * rows))


def _orders(rows: int, splits: int) -> Iterator[NDArray[np.int64]]:
    generator = np.random.RandomState(_SPLITS_SEED)  # the legacy generator: the published splits are its
    for _ in range(splits):
        yield generator.choice(range(rows), rows, replace=False)


def _fold(table: Table, order: NDArray[np.int64], learn: int) -> Fold:
    return Fold(table.taken(order[:learn]), table.taken(order[learn:]))


@dataclass(frozen=True)
class Units:
    """Means and deviations of the rows that a network learns from.

    Args:
        input_mean: [features].
        input_scale: [features]; 1 for a feature that is constant.
        target_mean: of the targets.
        target_scale: of the targets.
    """

    input_mean: Array
    input_scale: Array
    target_mean: float
    target_scale: float

    @classmethod
    def of(cls, table: Table) -> "Units":
        """Measure them."""
        scale = table.inputs.std(0)
        scale[scale == 0] = 1
        return cls(table.inputs.mean(0), scale, float(table.targets.mean()), float(table.targets.std()))

    def standardised(self, table: Table) -> Table:
        """Turn rows into these units."""
        inputs = (table.inputs - self.input_mean) / self.input_scale
        return Table(inputs, (table.targets - self.target_mean) / self.target_scale)
