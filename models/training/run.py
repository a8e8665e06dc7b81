"""One training from its data to its repository entry."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from models.training.capabilities import FitsUnits
from models.training.checkpoint import Checkpoint, checkpoint_path, training_digest
from models.training.curves import learning_curves
from models.training.data import Rows, Splits, split
from models.training.entry import (
    CURVES,
    TOKENIZER,
    TRAINING_ROWS,
    check_entry,
    columns_order,
    text_fingerprint,
    write_version,
)
from models.training.families import demo_of, entry_name
from models.training.fit import TrainingError, evaluate, fit
from models.training.fitting import Epoch, Figures
from models.training.objectives import OBJECTIVES, Objective, balanced_cross_entropy
from models.training.options import with_dropout
from models.training.own_recipe import with_policy
from models.training.recipe import Recipe
from models.training.record import record_of, schedule_of
from models.training.tuning import TRIAL_EPOCHS, Tuning, tune

SAMPLES, MAX_SAMPLES = 50, 1000


@dataclass(frozen=True)
class Report:
    """What a training has come to.

    Args:
        folder: of the version.
        resumed: after how many epochs an earlier, killed training was taken up; 0 where there was none.
        epochs: how many it ran.
        best_epoch: whose weights were kept.
        figure_name: what `figures` hold besides the loss.
        figures: by the name of the split: train, validation, test.
        rows: by the name of the split.
        tuning: of the rate; None where it was not looked for.
    """

    folder: Path
    resumed: int
    epochs: int
    best_epoch: int
    figure_name: str
    figures: dict[str, Figures]
    rows: dict[str, int]
    tuning: Tuning | None = None


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


def train(
    name: str, recipe: Recipe, repository: Path, seed: int, watch: Watch, *, tuned: bool = False
) -> Report:
    """Train a model and write its entry.

    Args:
        name: of the model.
        recipe: what it learns, and how.
        repository: folder of the models.
        seed: of the splits, the first weights, the batches and the dropout.
        watch: is given the epochs and the most there can be, and passes them on.
        tuned: whether to look for a rate first.

    Raises:
        TrainingError: it cannot be trained, or not written there.
    """
    recipe = _in_order(repository, name, recipe)
    splits = split(recipe.load(), recipe.task, torch.Generator().manual_seed(seed))
    _check(splits, recipe)
    tuning = tune(recipe, _trials(recipe, splits, seed, watch)) if tuned else None
    recipe = with_policy(_tuned(recipe, tuning) if tuning else recipe, splits.train)
    manifest = manifest_of(name, recipe, splits.train.inputs.shape[1:])
    check_entry(repository, manifest)
    decides = {"seed": seed, "arguments": manifest["source"], "schedule": schedule_of(recipe)}
    checkpoint = Checkpoint(checkpoint_path(repository, name), training_digest(decides, splits))
    model, epochs = _fitted(recipe, splits, seed, watch, checkpoint)
    figures, counts = _figures(model, recipe, splits)
    best = max(epoch.number for epoch in epochs if epoch.best)
    record = record_of(recipe, seed, epochs, best, figures, counts)
    figure_name = OBJECTIVES[recipe.task].figure_name
    curves = learning_curves(name, figure_name, epochs, best)
    texts, sent = {CURVES: curves}, None
    if recipe.texts:
        texts[TOKENIZER] = recipe.texts.tokenizer
        texts[TRAINING_ROWS] = "".join(f"{text_fingerprint(text)}\n" for text in recipe.texts.seen)
        sent = np.array(recipe.texts.calibration)
    seen = (splits.train, splits.validation)
    folder = write_version(repository, manifest, model, seen, splits.calibration, record, texts, sent)
    checkpoint.remove()
    return Report(folder, checkpoint.resumed, len(epochs), best, figure_name, figures, counts, tuning)


def _in_order(repository: Path, name: str, recipe: Recipe) -> Recipe:
    """Put columns into the order that all versions of a model have."""
    columns = recipe.told.get("columns", ())
    order = columns_order(repository, name, recipe.input_name, columns) if columns else None
    if order is None or order == sorted(order):
        return recipe

    def load() -> Rows:
        rows = recipe.load()
        return Rows(rows.inputs[:, order], rows.targets)

    return replace(recipe, load=load, told={**recipe.told, "columns": [columns[place] for place in order]})


def _fitted(
    recipe: Recipe, splits: Splits, seed: int, watch: Watch, checkpoint: Checkpoint
) -> tuple[nn.Module, list[Epoch]]:
    """Train a network; keep no checkpoint of a training that cannot go on, since it would end there again."""
    schedule = recipe.schedule
    with _seeded(seed):
        model = _network(recipe, splits)
        fitted = fit(model, splits, objective_of(recipe, splits), schedule, checkpoint)
        try:
            return model, list(watch(fitted, schedule.epochs))
        except TrainingError:
            checkpoint.remove()
            raise


def _trials(recipe: Recipe, splits: Splits, seed: int, watch: Watch) -> Callable[[float], Sequence[Epoch]]:
    """Give the first epochs of a training with a rate; each begins alike."""

    def run(rate: float) -> Sequence[Epoch]:
        with _seeded(seed):
            model = _network(with_dropout(recipe, rate), splits)
            epochs = fit(model, splits, objective_of(recipe, splits), recipe.schedule)
            return list(watch(islice(epochs, TRIAL_EPOCHS), TRIAL_EPOCHS))

    return run


def _tuned(recipe: Recipe, tuning: Tuning) -> Recipe:
    told = {**recipe.told, "dropout_tuning": tuning.record()}
    return replace(with_dropout(recipe, tuning.rate), told=told)


def _figures(model: nn.Module, recipe: Recipe, splits: Splits) -> tuple[dict[str, Figures], dict[str, int]]:
    """Give figures and numbers of rows, by the name of the split."""
    parts = {part: getattr(splits, part) for part in ("train", "validation", "test")}
    objective = objective_of(recipe, splits)
    figures = {part: evaluate(model, rows, objective) for part, rows in parts.items()}
    counts = {part: len(rows) for part, rows in parts.items()} | {"calibration": len(splits.calibration)}
    return figures, counts


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
        **_inputs(recipe, row_shape),
        "output": output,
        "sampling": {"samples": SAMPLES, "max_samples": MAX_SAMPLES, "seed": 0, "sites": "all"},
        "policy": dict(recipe.policy or {}),
    } | _columns(recipe, row_shape)


def _columns(recipe: Recipe, row_shape: Sequence[int]) -> dict[str, Any]:
    """Name the numbers of a row, where they have names: for clients and files that have them too."""
    names = list(recipe.told.get("columns", ()))
    return {"columns": {recipe.input_name: names}} if tuple(row_shape) == (len(names),) else {}


def _inputs(recipe: Recipe, row_shape: Sequence[int]) -> dict[str, Any]:
    if not recipe.texts:
        return {"input": [{"name": recipe.input_name, "dtype": "float32", "shape": list(row_shape)}]}
    return {
        "tokenizer": {"file": TOKENIZER, "max_tokens": recipe.texts.max_tokens},
        "input": [{"name": recipe.input_name, "dtype": "int64", "shape": [-1]}],
    }


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's one generator, from which layers and dropout draw, and put it back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
