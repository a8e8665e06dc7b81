"""The standard rule for a rate: start at 0.2, look at the gap after some epochs, go up or down by 0.1."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import mean
from typing import Any, Literal

from models.training.fit import TrainingError
from models.training.fitting import Epoch
from models.training.recipe import Recipe

START, STEP = 0.2, 0.1
TRIAL_EPOCHS = 15
"""Of each rate that is tried."""

_LOOKED_AT = 5
"""So many last epochs of a trial are averaged."""

WIDE_GAP, NARROW_GAP = 0.1, 0.02
"""Nats by which the loss on the validation rows is above that on the training rows."""

# To what unsure inspect finds usual: its ranges for such layers, and a step above.
_DENSE, _STEPS, _BRANCHES = (0.1, 0.5), (0.1, 0.3), (0.1, 0.2)
RANGES: Mapping[str, tuple[float, float]] = {
    "mlp": _DENSE,
    "drop_connect": _DENSE,
    "cnn": _DENSE,
    "recurrent": _STEPS,
    "resnet": _BRANCHES,
    "transformer": _BRANCHES,
}
"""Lowest and highest rate that is tried, by the module of the zoo."""

Direction = Literal["up", "down", "stay"]


@dataclass(frozen=True)
class Trial:
    """What a rate has come to.

    Args:
        rate: that was tried.
        train_loss: the mean over the last epochs.
        validation_loss: the same.
        gap: how much more the second is.
        direction: where the rule goes from here.
    """

    rate: float
    train_loss: float
    validation_loss: float
    gap: float
    direction: Direction


@dataclass(frozen=True)
class Tuning:
    """The rates that were tried, in order."""

    path: Sequence[Trial]

    @property
    def rate(self) -> float:
        """The rate whose validation loss was the lowest."""
        return min(self.path, key=lambda trial: trial.validation_loss).rate

    @property
    def gain(self) -> float:
        """How much lower its validation loss was than that of the first, in nats."""
        losses = [trial.validation_loss for trial in self.path]
        return losses[0] - min(losses)

    def record(self) -> dict[str, Any]:
        """Give what is kept beside the weights."""
        path = [asdict(trial) for trial in self.path]
        return {"epochs": TRIAL_EPOCHS, "path": path, "rate": self.rate, "gain": self.gain}


def tune(recipe: Recipe, run: Callable[[float], Sequence[Epoch]]) -> Tuning:
    """Follow the rule, as long as the validation loss falls and the rates are within the family's range.

    Args:
        recipe: whose rate is looked for.
        run: gives the first epochs of a training with a rate.

    Raises:
        TrainingError: the family has no rate to set.
    """
    low, high = range_of(recipe)
    path = [_trial(START, run)]
    while path[-1].direction != "stay":
        rate = round(path[-1].rate + (STEP if path[-1].direction == "up" else -STEP), 10)
        if not low <= rate <= high or rate in {trial.rate for trial in path}:
            break
        path.append(_trial(rate, run))
        if any(after.validation_loss >= before.validation_loss for before, after in pairwise(path)):
            break
    return Tuning(path)


def range_of(recipe: Recipe) -> tuple[float, float]:
    """Give the lowest and the highest rate to try.

    Raises:
        TrainingError: the family has no rate to set.
    """
    family = recipe.factory.__module__.rpartition(".")[2]
    if family not in RANGES:
        raise TrainingError(f"{family} learns its rates in training; leave --tune-dropout out")
    return RANGES[family]


def _trial(rate: float, run: Callable[[float], Sequence[Epoch]]) -> Trial:
    epochs = run(rate)[-_LOOKED_AT:]
    train = mean(epoch.train.loss for epoch in epochs)
    validation = mean(epoch.validation.loss for epoch in epochs)
    gap = validation - train
    direction: Direction = "up" if gap > WIDE_GAP else "down" if gap < NARROW_GAP else "stay"
    return Trial(rate, train, validation, gap, direction)
