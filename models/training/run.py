"""One training from its data to its repository entry."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.training.capabilities import FitsUnits
from models.training.curves import learning_curves
from models.training.data import Splits, split
from models.training.entry import CURVES, check_entry, write_version
from models.training.families import demo_of, entry_name
from models.training.fit import Epoch, Figures, TrainingError, evaluate, fit
from models.training.objectives import OBJECTIVES, Objective, balanced_cross_entropy
from models.training.own_recipe import with_policy
from models.training.recipe import Recipe
from models.training.record import record_of

SAMPLES, MAX_SAMPLES = 50, 1000


@dataclass(frozen=True)
class Report:
    """What a training has come to.

    Args:
        folder: of the version.
        epochs: how many it ran.
        best_epoch: whose weights were kept.
        figure_name: what `figures` hold besides the loss.
        figures: by the name of the split: train, validation, test.
        rows: by the name of the split.
    """

    folder: Path
    epochs: int
    best_epoch: int
    figure_name: str
    figures: dict[str, Figures]
    rows: dict[str, int]


Watch = Callable[[Iterable[Epoch], int], Iterable[Epoch]]


def train_demo(name: str, repository: Path, seed: int, watch: Watch, family: str | None = None) -> Report:
    """Train a demo model and write its entry.

    Args:
        name: one of `DEMOS`.
        repository: folder of the models.
        seed: of the splits, the first weights, the batches and the dropout.
        watch: is given the epochs and the most there can be, and passes them on.
        family: of the network, where it is not the demo's own.

    Raises:
        TrainingError: it cannot be trained, or not written there.
    """
    return train(entry_name(name, family), demo_of(name, family), repository, seed, watch)


def train(name: str, recipe: Recipe, repository: Path, seed: int, watch: Watch) -> Report:
    """Train a model and write its entry.

    Args:
        name: of the model.
        recipe: what it learns, and how.
        repository: folder of the models.
        seed: of the splits, the first weights, the batches and the dropout.
        watch: is given the epochs and the most there can be, and passes them on.

    Raises:
        TrainingError: it cannot be trained, or not written there.
    """
    splits = split(recipe.load(), recipe.task, torch.Generator().manual_seed(seed))
    _check(splits, recipe)
    recipe = with_policy(recipe, splits.train)
    manifest = manifest_of(name, recipe, splits.train.inputs.shape[1:])
    check_entry(repository, manifest)
    objective = objective_of(recipe, splits)
    with _seeded(seed):
        model = _network(recipe, splits)
        epochs = list(watch(fit(model, splits, objective, recipe.schedule), recipe.schedule.epochs))
    parts = {part: getattr(splits, part) for part in ("train", "validation", "test")}
    figures = {part: evaluate(model, rows, objective) for part, rows in parts.items()}
    best = max(epoch.number for epoch in epochs if epoch.best)
    counts = {part: len(rows) for part, rows in parts.items()} | {"calibration": len(splits.calibration)}
    record = record_of(recipe, seed, epochs, best, figures, counts)
    curves = learning_curves(name, objective.figure_name, epochs, best)
    seen = (splits.train, splits.validation)
    folder = write_version(repository, manifest, model, seen, splits.calibration, record, {CURVES: curves})
    return Report(folder, len(epochs), best, objective.figure_name, figures, counts)


def objective_of(recipe: Recipe, splits: Splits) -> Objective:
    """Give what a recipe's training minimises."""
    objective = OBJECTIVES[recipe.task]
    return (
        replace(objective, loss=balanced_cross_entropy(splits.train.targets))
        if recipe.balanced
        else objective
    )


def _network(recipe: Recipe, splits: Splits) -> nn.Module:
    try:
        model = recipe.factory(**recipe.arguments)
    except ValueError as cause:
        raise TrainingError(f"the network cannot be built: {cause}") from cause
    if isinstance(model, FitsUnits):
        model.fit_units(splits.train.inputs, splits.train.targets)
    return model


def _check(splits: Splits, recipe: Recipe) -> None:
    """Refuse values that happen to be constant where the network learns their scale."""
    if recipe.task == "regression" and not bool((splits.train.targets.std(0) > 0).all()):
        raise TrainingError("every training row has the same target; add rows, or split with another --seed")


def manifest_of(name: str, recipe: Recipe, row_shape: Sequence[int]) -> dict[str, Any]:
    """Write model.toml for a trained model."""
    output: dict[str, Any] = (
        {"labels": list(recipe.labels), "activation": "softmax"}
        if recipe.task == "classification"
        else {"activation": "none", "variance_head": True}
    )
    return {
        "name": name,
        "task": recipe.task,
        "source": {"kind": "factory", "factory": recipe.factory_name, "arguments": dict(recipe.arguments)},
        "input": [{"name": recipe.input_name, "dtype": "float32", "shape": list(row_shape)}],
        "output": output,
        "sampling": {"samples": SAMPLES, "max_samples": MAX_SAMPLES, "seed": 0, "sites": "all"},
        "policy": dict(recipe.policy or {}),
    } | _columns(recipe, row_shape)


def _columns(recipe: Recipe, row_shape: Sequence[int]) -> dict[str, Any]:
    """Name the numbers of a row for who reviews it, where they have names."""
    names = list(recipe.told.get("columns", ()))
    return {"columns": {recipe.input_name: names}} if tuple(row_shape) == (len(names),) else {}


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's one generator, from which layers and dropout draw, and put it back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
