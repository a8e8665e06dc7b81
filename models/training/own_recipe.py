"""How a family learns a user's own data."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

from torch import nn

from models.training.data import Rows, Task
from models.training.fit import TrainingError
from models.training.own_data import OwnData, read_data
from models.training.recipe import Recipe
from models.training.row_shapes import ARCHITECTURES, Architecture, fitted, usual_family

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHARE_OF_LARGEST_ENTROPY = 0.5


def recipe_from(
    name: str,
    path: Path,
    *,
    target: str | None = None,
    task: Task | None = None,
    ignored: Sequence[str] = (),
    family: str | None = None,
) -> Recipe:
    """Put together how a family learns a user's file.

    Args:
        name: of the model.
        path: of the file; the other arguments are those of `read_data`.
        target: the column to learn.
        task: None to take it from the targets.
        ignored: columns that are no features.
        family: None for the one that such rows usually have.

    Raises:
        TrainingError: the name is no model's, or the family cannot learn from the file.
    """
    if not _MODEL_NAME.fullmatch(name):
        raise TrainingError(
            f"{name!r} is no name for a model: letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )
    data = read_data(path, target, task, ignored)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    told = {"file": path.name, "file_sha256": digest, "target": target, "columns": list(data.columns)}
    return own_recipe(data, family, told)


def own_recipe(data: OwnData, family: str | None, told: Mapping[str, Any]) -> Recipe:
    """Put together how a family learns a user's rows.

    Args:
        data: what a file held.
        family: of the network; None for the one that such rows usually have.
        told: what to keep of the data beside the weights.

    Raises:
        TrainingError: the family does not take such rows, or has no such task.
    """
    rows, chosen = data.rows, family or usual_family(data.rows.inputs.shape[1:], data.task)
    architecture = ARCHITECTURES[chosen]
    factory, width = _factory(chosen, architecture, data)
    row_shape, arguments = fitted(chosen, rows.inputs.shape[1:])
    return Recipe(
        task=data.task,
        load=lambda: Rows(rows.inputs.reshape(len(rows), *row_shape), rows.targets),
        factory=factory,
        arguments={**arguments, **architecture.rates, **width},
        input_name=architecture.input_name,
        labels=data.labels,
        schedule=architecture.schedule,
        policy=None,
        told={**told, "family": chosen},
    )


def with_policy(recipe: Recipe, train: Rows) -> Recipe:
    """Give a recipe that says when a row is flagged, until a threshold is calibrated.

    Where it does not: in classification above half of the entropy that equal probabilities have; in
    regression where the model knows a value no better than the training targets' standard deviation, the
    greatest where there are several.
    """
    return replace(recipe, policy=_usual_policy(recipe, train)) if recipe.policy is None else recipe


def _usual_policy(recipe: Recipe, train: Rows) -> dict[str, Any]:
    if recipe.task == "classification":
        threshold = _SHARE_OF_LARGEST_ENTROPY * log(len(recipe.labels))
        return {"measure": "predictive_entropy", "threshold": round(threshold, 4), "review": True}
    deviation = train.targets.std(0).max().item()
    return {"measure": "standard_deviation", "threshold": float(f"{deviation:.4g}"), "review": True}


def _factory(
    family: str, architecture: Architecture, data: OwnData
) -> tuple[Callable[..., nn.Module], dict[str, int]]:
    if data.task == "classification":
        return architecture.classifier, {"classes": len(data.labels)}
    if architecture.regressor is None:
        able = ", ".join(sorted(name for name, one in ARCHITECTURES.items() if one.regressor))
        raise TrainingError(f"{family} learns classes, not values; for a regression choose one of {able}")
    return architecture.regressor, {"targets": data.rows.targets.shape[1]}
