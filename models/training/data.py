"""Labelled rows, and their splits."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Rows:
    """Labelled rows.

    Args:
        inputs: [rows, …], float32.
        targets: classes as int64, [rows], or values as float32, [rows, targets].
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def taken(self, indices: Tensor) -> "Rows":
        """Give some of the rows."""
        return Rows(self.inputs[indices], self.targets[indices])


@dataclass(frozen=True)
class Splits:
    """Rows in four parts that share none.

    Args:
        train: the weights learn from these.
        validation: decides when to stop.
        calibration: seen by nothing here; for thresholds that must hold.
        test: for the figures.
    """

    train: Rows
    validation: Rows
    calibration: Rows
    test: Rows


VALIDATION_SHARE, CALIBRATION_SHARE, TEST_SHARE = 0.10, 0.15, 0.20


def split(rows: Rows, task: Task, generator: torch.Generator) -> Splits:
    """Split rows at random, in classification class by class, so that every part has every class's share."""
    parts = (CALIBRATION_SHARE, TEST_SHARE, VALIDATION_SHARE)
    groups = _classes(rows.targets) if task == "classification" else [torch.arange(len(rows))]
    cut: list[list[Tensor]] = []
    for group in groups:
        shuffled = group[torch.randperm(len(group), generator=generator)]
        sizes = [round(share * len(group)) for share in parts]
        cut.append(list(shuffled.split([*sizes, len(group) - sum(sizes)])))
    calibration, test, validation, train = (rows.taken(torch.cat(part)) for part in zip(*cut, strict=True))
    return Splits(train, validation, calibration, test)


def _classes(targets: Tensor) -> list[Tensor]:
    return [(targets == label).nonzero().flatten() for label in targets.unique()]
