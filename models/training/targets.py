"""Targets as they are in a file → what a network learns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training.data import Task
from models.training.fit import TrainingError

FEWEST_OF_A_CLASS = 6
"""Of so many, each of the four splits has one."""

FEWEST_VALUES = 20
"""Of so many rows of a regression, each split has two."""

MOST_CLASSES_OF_NUMBERS = 20
"""Whole numbers of which there are more, each different, are taken for values."""

_TEXT, _WHOLE = "U", "biu"  # numpy's letters for dtypes
_KINDS = _TEXT + _WHOLE + "f"


@dataclass(frozen=True)
class Targets:
    """What is to be learned.

    Args:
        task: of the model.
        values: classes as int64, [rows], or values as float32, [rows, targets].
        labels: of the classes, in their order.
    """

    task: Task
    values: Tensor
    labels: tuple[str, ...]


def read_targets(values: NDArray[Any], task: Task | None) -> Targets:
    """Read targets.

    Args:
        values: text, whole numbers, or numbers, [rows]; or [rows, targets] of a regression.
        task: None to take it from the values: numbers with a fraction, and whole numbers of more than 20
            kinds, are a regression; all else is a classification.

    Raises:
        TrainingError: a network cannot learn these.
    """
    if values.dtype.kind == "S":
        values = _decoded(values)
    if values.dtype.kind not in _KINDS:
        raise TrainingError(f"the targets are {values.dtype}; they must be text, whole numbers or numbers")
    found = task or _guessed(values)
    return _classes(values) if found == "classification" else _values(values)


def _decoded(values: NDArray[Any]) -> NDArray[Any]:
    try:
        return np.char.decode(values, "utf-8")
    except UnicodeDecodeError as cause:
        raise TrainingError(f"a target is bytes that are no text: {cause}; write texts") from cause


def _guessed(values: NDArray[Any]) -> Task:
    if values.ndim > 1 or not _may_be_classes(values):
        return "regression"
    is_number = values.dtype.kind != _TEXT
    many = is_number and len(np.unique(values)) > MOST_CLASSES_OF_NUMBERS
    return "regression" if many else "classification"


def _may_be_classes(values: NDArray[Any]) -> bool:
    return values.dtype.kind in _TEXT + _WHOLE or bool((values == np.floor(values)).all())


def _classes(values: NDArray[Any]) -> Targets:
    if values.ndim > 1:
        raise TrainingError(f"the targets of a classification are [rows], not {list(values.shape)}")
    if not _may_be_classes(values):
        fraction = values[values != np.floor(values)][0]
        raise TrainingError(
            f"a target is {fraction}, and classes are text or whole numbers; say --task regression"
        )
    kinds, classes, counts = np.unique(values, return_inverse=True, return_counts=True)
    labels = tuple(_label(kind) for kind in kinds.tolist())
    _refuse_empty(labels, classes)
    _refuse_constant(labels)
    _refuse_few(labels, counts)
    return Targets("classification", torch.from_numpy(classes.astype(np.int64)), labels)


def _label(kind: Any) -> str:
    """Write a class's name, which `service.labels` reads again from any of the types it was written of."""
    if isinstance(kind, bool):
        return "true" if kind else "false"
    return str(int(kind) if isinstance(kind, float) else kind)


def _values(values: NDArray[Any]) -> Targets:
    if values.dtype.kind == _TEXT:
        raise TrainingError(
            f"a target is {str(values.flat[0])!r}, and values are numbers; say --task classification"
        )
    columns = torch.from_numpy(as_float32(values).reshape(len(values), -1))
    if not bool(columns.isfinite().all()):
        raise TrainingError("a target is infinite, or more than a float32 can hold; leave its row out")
    if len(values) < FEWEST_VALUES:
        raise TrainingError(
            f"there are {len(values)} rows; a regression needs {FEWEST_VALUES}, so that each split has two"
        )
    for column in columns.T:
        _refuse_constant(column.unique().tolist())
    return Targets("regression", columns, ())


def as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Convert numbers; those that are too large become infinite, without a warning."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _refuse_constant(kinds: Any) -> None:
    if len(kinds) == 1:
        raise TrainingError(f"every row's target is {kinds[0]}: there is nothing to learn")


def _refuse_empty(labels: tuple[str, ...], classes: NDArray[Any]) -> None:
    blank = next((place for place, label in enumerate(labels) if not label.strip()), None)
    if blank is not None:
        row = np.argwhere(classes == blank)[0][0] + 1
        raise TrainingError(
            f"the target of row {row} is an empty text; write what it is, or leave the row out"
        )


def _refuse_few(labels: tuple[str, ...], counts: NDArray[Any]) -> None:
    few = [
        f"{label!r} has {count}"
        for label, count in zip(labels, counts, strict=True)
        if count < FEWEST_OF_A_CLASS
    ]
    if few:
        more = f", and {len(few) - 5} classes more have too few" if len(few) > 5 else ""
        raise TrainingError(
            f"a class needs {FEWEST_OF_A_CLASS} rows, so that training, validation, calibration and test "
            f"have one each: {', '.join(few[:5])}{more}; add rows, or leave the class out; numbers that "
            "are no classes are learned with --task regression"
        )
