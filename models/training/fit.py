"""Fitting a network, with early stopping."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from models.training.capabilities import LearnsRates
from models.training.data import Rows, Splits
from models.training.fitting import Epoch, Figures, Fitting
from models.training.objectives import Objective

# At a time: what a network makes of all rows at once may not fit in memory.
_EVALUATED_ROWS, _EVALUATED_NUMBERS = 1024, 2**16


class TrainingError(Exception):
    """Training cannot go on; the text says why."""


@dataclass(frozen=True)
class Schedule:
    """How to fit.

    Args:
        epochs: at most.
        patience: epochs without a better validation loss until it stops.
        batch_rows: rows of a step.
        learning_rate: of AdamW, at the start; it falls along a cosine over `epochs`.
        weight_decay: of AdamW (Loshchilov & Hutter 2019).
        augment: changes the inputs of a batch, [rows, …], at random.
    """

    epochs: int
    patience: int
    batch_rows: int
    learning_rate: float
    weight_decay: float
    augment: Callable[[Tensor], Tensor] | None = None


class Keeper(Protocol):
    """Keeps what a training is at, so that another process can go on."""

    def restore(self, fitting: Fitting, /) -> None:
        """Put a training to where it was kept, if it was."""

    def keep(self, fitting: Fitting, /) -> None:
        """Keep what a training is at after an epoch."""


def fit(
    model: nn.Module, splits: Splits, objective: Objective, schedule: Schedule, keeper: Keeper | None = None
) -> Iterator[Epoch]:
    """Train a model in place, an epoch at each step of the iterator; at its end the best weights are back.

    Rates that can be learned are, and are fixed at the end. Epochs that were kept come first.

    Args:
        model: learns.
        splits: of which the training and validation parts are used, and no other.
        objective: to minimise.
        schedule: how.
        keeper: of what the training is at; None keeps nothing.

    Raises:
        TrainingError: the loss is no longer finite.
    """
    fitting = _begun(model, schedule)
    if keeper:
        keeper.restore(fitting)
    yield from list(fitting.epochs)
    while not fitting.is_over(schedule.epochs, schedule.patience):
        epoch = _epoch(fitting, splits, objective, schedule)
        if keeper:
            keeper.keep(fitting)
        yield epoch
    model.load_state_dict(fitting.best_weights)
    if isinstance(model, LearnsRates):
        model.fix_rates()
    model.eval()


def _begun(model: nn.Module, schedule: Schedule) -> Fitting:
    if isinstance(model, LearnsRates):
        model.learn_rates()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    return Fitting(model, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, schedule.epochs))


def _epoch(fitting: Fitting, splits: Splits, objective: Objective, schedule: Schedule) -> Epoch:
    _train(fitting.model, splits.train, objective, schedule, fitting.optimizer)
    fitting.decay.step()
    validation = evaluate(fitting.model, splits.validation, objective)
    if not math.isfinite(validation.loss):
        number = len(fitting.epochs) + 1
        raise TrainingError(
            f"the validation loss is {validation.loss} after epoch {number}; lower the learning rate"
        )
    return fitting.add(evaluate(fitting.model, splits.train, objective), validation)


@torch.no_grad()
def evaluate(model: nn.Module, rows: Rows, objective: Objective) -> Figures:
    """Compute the figures of a model in eval mode."""
    model.eval()
    size = max(1, min(_EVALUATED_ROWS, _EVALUATED_NUMBERS // max(rows.inputs[0].numel(), 1)))
    outputs = torch.cat([model(inputs) for inputs in rows.inputs.split(size)])
    return Figures(objective.loss(outputs, rows.targets).item(), objective.figure(outputs, rows.targets))


def _train(
    model: nn.Module, rows: Rows, objective: Objective, schedule: Schedule, optimizer: torch.optim.Optimizer
) -> None:
    model.train()
    for indices in torch.randperm(len(rows)).split(schedule.batch_rows):
        if len(indices) == 1:
            continue  # batch norm has no variance of one row
        batch = rows.taken(indices)
        inputs = schedule.augment(batch.inputs) if schedule.augment else batch.inputs
        optimizer.zero_grad()
        loss = objective.loss(model(inputs), batch.targets)
        if isinstance(model, LearnsRates):
            loss = loss + model.regulariser() / len(rows)
        loss.backward()
        optimizer.step()
