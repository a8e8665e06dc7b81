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
from models.training.own_data import ARCHIVE_ENDING, OwnData, read_data
from models.training.recipe import Recipe
from models.training.row_shapes import ARCHITECTURES, Architecture, fitted, usual_family
from models.training.text_recipe import text_recipe

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TEXT_NEEDS = (
    "--text names a column of a CSV or Parquet file and needs --target, a column of classes; no other column "
    "is read, so there is none to --ignore, and texts have no --task but classification"
)
_SHARE_OF_LARGEST_ENTROPY = 0.5


def recipe_from(
    name: str,
    path: Path,
    *,
    target: str | None = None,
    task: Task | None = None,
    ignored: Sequence[str] = (),
    family: str | None = None,
    text: str | None = None,
    seed: int = 0,
) -> Recipe:
    """Put together how a family learns a user's file.

    Args:
        name: of the model.
        path: of the file; the other arguments are those of `read_data`.
        target: the column to learn.
        task: None to take it from the targets.
        ignored: columns that are no features.
        family: None for the one that such rows usually have.
        text: the column of texts to learn from; None where features are numbers.
        seed: of the split, which decides the texts that make the tokenizer.

    Raises:
        TrainingError: the name is no model's, or the family cannot learn from the file.
    """
    if not _MODEL_NAME.fullmatch(name):
        raise TrainingError(
            f"{name!r} is no name for a model: letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    told = {"file": path.name, "file_sha256": digest, "target": target}
    if text is not None:
        if target is None or task == "regression" or ignored or path.suffix == ARCHIVE_ENDING:
            raise TrainingError(_TEXT_NEEDS)
        return text_recipe(path, text, target, family, seed, told)
    data = read_data(path, target, task, ignored)
    return own_recipe(data, family, {**told, "columns": list(data.columns)})


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
    if chosen not in ARCHITECTURES:
        raise TrainingError(f"{chosen} learns texts; name their column with --text, or another family")
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
